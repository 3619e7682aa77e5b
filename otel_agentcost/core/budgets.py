"""Budgets as they are written, and which of them a call falls under. Pure: the time and the call come in.

    user/day:usd=1; agent=researcher/day:usd=50; total/month:usd=1000,on_exceed=warn

A rule is a scope, perhaps narrowed to one name, perhaps per calendar window, with one or more limits. A rule without
a name is a budget for each value of its scope. All budgets that apply to a call must admit it. A settings file may
hold the same as a list of such texts or of mappings (`{scope: user, window: day, usd: 1}`), or as what YAML makes of
a text with a blank in it (`user/day: usd=1`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Literal, NamedTuple, cast, get_args

from otel_agentcost.core import money

Scope = Literal[
    "trace", "run", "conversation", "user", "tenant", "team", "agent", "feature", "model", "process", "total"
]
Window = Literal["hour", "day", "month"]
Action = Literal["block", "warn", "downgrade", "clamp"]
Unit = Literal["nano_usd", "tokens", "calls", "tool_calls", "seconds"]

SCOPES: tuple[Scope, ...] = tuple(scope for scope in get_args(Scope) if scope != "run")
"""The scopes that rules may have. `run` is that of the allowances which code gives itself."""
WINDOWS: tuple[Window, ...] = get_args(Window)
ACTIONS: tuple[Action, ...] = get_args(Action)

LIMITS: Mapping[str, Unit] = {
    "usd": "nano_usd",
    "tokens": "tokens",
    "calls": "calls",
    "llm_calls": "calls",
    "tool_calls": "tool_calls",
    "seconds": "seconds",
}
"""How the limits are written, and what they count."""

MOST = 10**18
"""The largest limit, in whole units: a billion dollars. What ledgers add up stays within 64 bits."""

WRITTEN: Mapping[Unit, str] = {unit: written for written, unit in LIMITS.items() if written != "llm_calls"}
"""How a unit is written, in rules and in telemetry."""
_NAMELESS: frozenset[Scope] = frozenset({"total", "trace", "process"})
_TIMED: frozenset[Scope] = frozenset({"trace", "run"})

_PARTS = frozenset({"scope", "name", "window", "on_exceed", *LIMITS})
"""What the keys of a mapping are that holds one rule."""

_FORM = "write scope[=name][/window]:limit=value, such as user/day:usd=1"


class UnclearRule(ValueError):
    """A rule that cannot be understood: the text quotes it and says what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One rule."""

    scope: Scope
    name: str | None = None
    """Only this value of the scope; None: each value has a budget of its own."""
    window: Window | None = None
    """Per calendar hour, day or month; None: for good (for a trace: as long as it lives)."""
    limits: Mapping[Unit, int]
    """In whole units; dollars in billionths, rounded down, so that no more is spent than was written."""
    on_exceed: Action | None = None
    """What happens to a call that does not fit; None: what the setting `ON_EXCEED` says."""

    text: str = field(init=False, compare=False)
    """The rule as it is written."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self._written())  # it is wanted with every call

    def _written(self) -> str:
        name = "" if self.name is None else f"={quoted_name(self.name)}"
        window = f"/{self.window}" if self.window else ""
        items = [f"{WRITTEN[unit]}={_amount(unit, limit)}" for unit, limit in self.limits.items()]
        if self.on_exceed:
            items.append(f"on_exceed={self.on_exceed}")
        return f"{self.scope}{name}{window}:{','.join(items)}"

    def value(self, scopes: Mapping[Scope, str]) -> str | None:
        """Which value of this budget's scope a call with these values falls under; None where under none."""
        found = scopes.get(self.scope)
        return found if found is not None and self.name in (None, found) else None

    def key(self, value: str, period: Period) -> str:
        """What ledgers call this budget for `value` in `period`.

        Rules about the same scope and window share what was spent, with a name or without: the key tells nothing of
        limits, so changing a limit forgets no spending.
        """
        return period.key(self.scope, value)


def quoted_name(name: str) -> str:
    """A name as a rule may hold it: in double quotes where it would be read as something else."""
    plain = name == name.strip() and name and not name.startswith('"') and not set(name) & set(";:,")
    if plain and name.rpartition("/")[2].strip() not in WINDOWS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _amount(unit: Unit, limit: int) -> str:
    return f"{money.from_nano(limit).normalize():f}" if unit == "nano_usd" else str(limit)


# --- Calendar windows -------------------------------------------------------------------------------------------------


class Period(NamedTuple):
    """One calendar window: a certain hour, day or month, from its first moment to before its last."""

    label: str
    starts: float
    """In seconds of the epoch, as `ends`."""
    ends: float | None
    """None: never."""

    def key(self, scope: Scope, value: str) -> str:
        """What ledgers call what `value` of `scope` spends in it."""
        return f"{scope}/{self.label or 'all'}/{value}"


FOREVER = Period("", float("-inf"), None)

_FORMATS: Mapping[Window, str] = {"hour": "%Y-%m-%dT%H%z", "day": "%Y-%m-%d", "month": "%Y-%m"}
"""An hour that the clocks go through twice is two hours: the offset from UTC tells them apart."""


def period(window: Window | None, now: float, zone: tzinfo = timezone.utc) -> Period:
    """The calendar window of `zone` in which `now` (seconds of the epoch) lies.

    Days are those of the wall clock: one on which the clocks change has 23 or 25 hours, and none is spent twice.
    """
    if window is None:
        return FOREVER
    at = datetime.fromtimestamp(now, zone)
    label = at.strftime(_FORMATS[window])
    if window == "hour":
        start = at.timestamp() - at.minute * 60 - at.second - at.microsecond / 1e6
        same = datetime.fromtimestamp(start, zone).strftime(_FORMATS[window]) == label
        return Period(label, start if same else now, start + 3600)  # where clocks shift by half an hour, it is shorter
    first = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "month":
        first = first.replace(day=1)
    following = first + timedelta(days=1) if window == "day" else (first + timedelta(days=32)).replace(day=1)
    return Period(label, first.timestamp(), following.timestamp())


# --- Reading ----------------------------------------------------------------------------------------------------------

_RULES = re.compile(r'(?:=\s*"(?:[^"]|"")*"|[^;])+')
_CURRENCY = re.compile(r"[$€£¥]|\b(?:usd|eur|dollars?|cents?)\b", re.IGNORECASE)
_QUOTED = re.compile(
    r'(?P<scope>[^="]*)=\s*"(?P<name>(?:[^"]|"")*)"\s*(?:/(?P<window>[^:]*))?:(?P<limits>.*)', re.DOTALL
)


def read(written: object) -> tuple[Budget, ...]:
    """The budgets that a setting says: a text, a mapping, or a list of texts, mappings and budgets.

    Raises `UnclearRule`.
    """
    if isinstance(written, str):
        return parse(written)
    items: object = [cast("object", written)] if isinstance(written, (Mapping, Budget)) else written
    if not isinstance(items, Sequence):
        raise UnclearRule(f"{written!r:.200} is not a list of rules: {_FORM}")
    found: list[Budget] = []
    for item in cast("Sequence[object]", items):
        if isinstance(item, Budget):
            found.append(item)
        elif isinstance(item, Mapping):
            found += _from_mapping(cast("Mapping[object, object]", item))
        else:
            found += parse(item if isinstance(item, str) else repr(item))
    return tuple(found)


def parse(rules: str) -> tuple[Budget, ...]:
    """The budgets that `rules` says, in their order. Raises `UnclearRule` for the first that cannot be understood."""
    return tuple(parse_rule(rule) for rule in split_rules(rules))


def split_rules(rules: str) -> list[str]:
    """What stands between the semicolons, but those in a quoted name."""
    return [rule for rule in _RULES.findall(rules) if rule.strip()]


def parse_rule(rule: str) -> Budget:
    """The budget that one rule says. Raises `UnclearRule`."""
    rule = rule.strip()
    scope, name, window, tail = split_scope(rule)
    items: list[tuple[str, object]] = []
    for item in tail.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise UnclearRule(f"{item.strip()!r} in {rule!r} is not a limit: write limit=value, such as usd=1")
        items.append((key, value))
    return _budget(rule, scope, name, window, items)


def split_scope(rule: str) -> tuple[str, str | None, str | None, str]:
    """The scope, name, window and limits of a rule. Raises `UnclearRule`."""
    quoted = _QUOTED.fullmatch(rule)
    if quoted is not None:
        return quoted["scope"], quoted["name"].replace('""', '"'), quoted["window"], quoted["limits"]
    head, colon, tail = rule.rpartition(":")
    if not colon:
        raise UnclearRule(f"{rule!r} has no limit: {_FORM}")
    return *_head(head), tail


def _head(head: str) -> tuple[str, str | None, str | None]:
    """The scope, name and window before the colon. A name may hold slashes (models do): what follows the last one is
    the window only if it is one, or if there is no name that it could belong to.
    """
    written, slash, window = head.rpartition("/")
    if not slash or ("=" in written and window.strip() not in WINDOWS):
        written, window = head, ""
    scope, equals, name = written.partition("=")
    return scope, name.strip() if equals else None, window if slash and written != head else None


def _from_mapping(rule: Mapping[object, object]) -> list[Budget]:
    """One budget, where the keys say its parts; else one or more, each under its scope, name and window."""
    if _PARTS.isdisjoint(rule):
        return [budget for head, limits in rule.items() for budget in _under(str(head).strip(), limits)]
    written = repr(dict(rule))
    items = {str(key): value for key, value in rule.items()}
    scope, name, window = (items.pop(key, None) for key in ("scope", "name", "window"))
    if isinstance(name, bool) or not (name is None or isinstance(name, (str, int))):
        # YAML has made something else of it (`on`, 4.10), and a budget of another name would hold nobody.
        raise UnclearRule(f"{name!r} in {written} is not text: put the name in quotes")
    window = str(window) if window is not None else None
    return [_budget(written, str(scope), name if name is None else str(name), window, list(items.items()))]


def _under(head: str, limits: object) -> Sequence[Budget]:
    if not isinstance(limits, Mapping):
        return parse(f"{head}:{limits}")
    scope, name, window, _ = split_scope(f"{head}:")
    items = {str(key): value for key, value in cast("Mapping[object, object]", limits).items()}
    return [_budget(f"{head}: {items}", scope, name, window, list(items.items()))]


def _budget(rule: str, scope: str, name: str | None, window: str | None, items: list[tuple[str, object]]) -> Budget:
    scope = scope.strip()
    if scope not in SCOPES:
        joined = "rules are joined by ';'" if ":" in scope else _one_of(SCOPES)
        raise UnclearRule(f"{scope!r} in {rule!r} is not a scope: {joined}")
    if window is not None and (window := window.strip()) not in WINDOWS:
        raise UnclearRule(f"{window!r} in {rule!r} is not a window: {_one_of(WINDOWS)}, or remove it")
    if name is not None and not name.strip():
        raise UnclearRule(f"{rule!r} has an empty name: write {scope}=NAME, or {scope} for each")
    if name is not None and scope in _NAMELESS:
        raise UnclearRule(f"{rule!r} names a {scope}, but this scope has no names: write {scope} alone")
    if scope == "trace" and window is not None:
        raise UnclearRule(f"{rule!r} limits a trace per {window}, but a trace has one budget: remove /{window}")
    limits, on_exceed = _limits(rule, scope, items)
    return Budget(scope=scope, name=name, window=window, limits=limits, on_exceed=on_exceed)


def _limits(rule: str, scope: Scope, items: list[tuple[str, object]]) -> tuple[dict[Unit, int], Action | None]:
    limits: dict[Unit, int] = {}
    on_exceed: Action | None = None
    for key, value in items:
        if key == "on_exceed":
            on_exceed = to_action(value, rule)
            continue
        if key not in LIMITS:
            raise UnclearRule(f"{key!r} in {rule!r} is not a limit: {_one_of(tuple(LIMITS))}")
        unit = LIMITS[key]
        if unit in limits:
            raise UnclearRule(f"{rule!r} limits {key} twice: remove one")
        if unit == "seconds" and scope not in _TIMED:
            raise UnclearRule(f"{rule!r} limits the seconds of a {scope}, but only a trace has a duration")
        limits[unit] = to_limit(unit, value, rule)
    if not limits:
        raise UnclearRule(f"{rule!r} has no limit: add one of {', '.join(LIMITS)}")
    return limits, on_exceed


def to_limit(unit: Unit, value: object, rule: str | None = None) -> int:
    """A limit as it was written, in whole units.

    Raises `UnclearRule`; without a rule that the value stands in, its text completes "X is 'v', ".
    """
    where = "which" if rule is None else f"{value!r} in {rule!r}"
    if isinstance(value, str) and _CURRENCY.search(value):
        raise UnclearRule(f"{where} is not a number: write 1.50 for a dollar fifty, without a currency sign")
    amount = money.from_number(value.strip() if isinstance(value, str) else value)
    scale = money.NANO_PER_USD if unit == "nano_usd" else 1
    if amount is None or amount == 0:
        raise UnclearRule(f"{where} is not a limit: write a number above zero")
    if amount > Decimal(MOST) / scale:
        raise UnclearRule(f"{where} is too large: the largest limit is {MOST // scale}")
    whole = int(money.multiply(amount, Decimal(scale)))
    if whole == 0 or (scale == 1 and whole != amount):
        what = "a billionth of a dollar or more" if scale > 1 else "a whole number"
        raise UnclearRule(f"{where} cannot be counted: write {what}")
    return whole


def to_action(value: object, rule: str) -> Action:
    """What happens to a call that does not fit, as it was written. Raises `UnclearRule`."""
    if value not in ACTIONS:
        raise UnclearRule(f"{value!r} in {rule!r} is not an action: {_one_of(ACTIONS)}")
    return value


def _one_of(words: Sequence[str]) -> str:
    return f"write one of {', '.join(words)}"
