"""Parse budget rules, and select the budgets that apply to a call. No clock: the caller passes the time.

    user/day:usd=1; agent=researcher/day:usd=50; total/month:usd=1000,on_exceed=warn

A rule has a scope, optionally narrowed to one name or to a window (of the calendar, or rolling), and one or more
limits. A rule without a name stands for one budget for each value of its scope. All budgets that apply to a call must
admit it. A settings file can hold the rules as a list of such texts or of mappings (`{scope: user, window: day, usd:
1}`). YAML reads `user/day: usd=1` as a mapping; that form is understood too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, cast, get_args

from otel_agentcost.core import hints, money
from otel_agentcost.core.windows import (
    ANY_WINDOW,
    FOREVER,
    WINDOWS,
    Period,
    Window,
    like_window,
    meant_window,
    overlapping,
    period,
    rolling_seconds,
    to_window,
    window_hint,
)

__all__ = [
    "ACTIONS",
    "FOREVER",
    "LIMITS",
    "MOST",
    "SCOPES",
    "WINDOWS",
    "WRITTEN",
    "Action",
    "Budget",
    "Period",
    "Scope",
    "UnclearRule",
    "Unit",
    "Window",
    "overlapping",
    "parse",
    "parse_rule",
    "period",
    "quoted_name",
    "read",
    "rolling_seconds",
    "split",
    "split_items",
    "split_rules",
    "split_scope",
    "to_action",
    "to_limit",
]

Scope = Literal[
    "trace", "run", "conversation", "user", "tenant", "team", "agent", "feature", "model", "process", "total"
]
Action = Literal["block", "warn", "downgrade", "clamp"]
Unit = Literal["nano_usd", "tokens", "calls", "tool_calls", "seconds"]

SCOPES: tuple[Scope, ...] = tuple(scope for scope in get_args(Scope) if scope != "run")
"""The scopes of rules. `run` is the scope of limits that code sets with `otel_agentcost.run`."""
ACTIONS: tuple[Action, ...] = get_args(Action)

LIMITS: Mapping[str, Unit] = {
    "usd": "nano_usd",
    "tokens": "tokens",
    "calls": "calls",
    "llm_calls": "calls",
    "tool_calls": "tool_calls",
    "seconds": "seconds",
}
"""The written names of limits, and their units."""

MOST = 10**18
"""The largest limit, in whole units: a billion US dollars. Sums in ledgers stay within 64 bits."""

WRITTEN: Mapping[Unit, str] = {unit: written for written, unit in LIMITS.items() if written != "llm_calls"}
"""The name of a unit in rules and in telemetry."""
_NAMELESS: frozenset[Scope] = frozenset({"total", "trace", "process"})
_TIMED: frozenset[Scope] = frozenset({"trace", "run"})

_PARTS = frozenset({"scope", "name", "window", "on_exceed", *LIMITS})
"""The keys of a mapping that holds one rule."""

_FORM = "write scope[=name][/window]:limit=value, such as user/day:usd=1"


class UnclearRule(ValueError):
    """A rule cannot be understood; the text quotes it and shows the correct form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One rule."""

    scope: Scope
    name: str | None = None
    """The only value of the scope that the rule is for; None: each value has its own budget."""
    window: Window | None = None
    """None: without end (for a trace: until it ends)."""
    limits: Mapping[Unit, int]
    """In whole units; US dollars in billionths, rounded down, so that no more is spent than the rule allows."""
    on_exceed: Action | None = None
    """The action for a call that does not fit; None: the setting `ON_EXCEED` applies."""

    text: str = field(init=False, compare=False)
    """The rule in its canonical form."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self._written())  # every call needs it

    def _written(self) -> str:
        name = "" if self.name is None else f"={quoted_name(self.name)}"
        window = f"/{self.window}" if self.window else ""
        items = [f"{WRITTEN[unit]}={_amount(unit, limit)}" for unit, limit in self.limits.items()]
        if self.on_exceed:
            items.append(f"on_exceed={self.on_exceed}")
        return f"{self.scope}{name}{window}:{','.join(items)}"

    def value(self, scopes: Mapping[Scope, str]) -> str | None:
        """Return the value of the scope for a call with the values `scopes`; None if the budget does not apply."""
        found = scopes.get(self.scope)
        return found if found is not None and self.name in (None, found) else None

    def key(self, value: str, period: Period) -> str:
        """Return the ledger key of this budget for `value` in `period`.

        Rules with the same scope and window share their spending, with a name or without. The key does not include the
        limits, so that changing a limit keeps the spending.
        """
        return period.key(self.scope, value)


def quoted_name(name: str) -> str:
    """Return a name as a rule can hold it: in double quotes if it could be read as something else."""
    plain = name == name.strip() and name and not name.startswith('"') and not set(name) & set(";:,")
    if plain and not like_window(name.rpartition("/")[2]):
        return name
    return '"' + name.replace('"', '""') + '"'


def _amount(unit: Unit, limit: int) -> str:
    return f"{money.from_nano(limit).normalize():f}" if unit == "nano_usd" else str(limit)


# --- Reading ----------------------------------------------------------------------------------------------------------

_RULES = re.compile(r'(?:=\s*"(?:[^"]|"")*"|[^;])+')
_CURRENCY = re.compile(r"[$€£¥¢]|\b(?:usd|eur|dollars?|cents?)\b|(?<=\d)(?:usd|eur)\b", re.IGNORECASE)
_QUOTED = re.compile(
    r'(?P<scope>[^="]*)=\s*"(?P<name>(?:[^"]|"")*)"\s*(?:/(?P<window>[^:]*))?:(?P<limits>.*)', re.DOTALL
)


def read(written: object) -> tuple[Budget, ...]:
    """Parse the value of the setting: a text, a mapping, or a list of texts, mappings and budgets.

    Raises:
        UnclearRule: A rule cannot be understood.
    """
    found: list[Budget] = []
    for item in split(written):
        if isinstance(item, Budget):
            found.append(item)
        elif isinstance(item, Mapping):
            found += _from_mapping(cast("Mapping[object, object]", item))
        else:
            found += parse(item if isinstance(item, str) else repr(item))
    return tuple(found)


def split(written: object) -> list[object]:
    """Split the value of the setting into its rules, none of which is parsed.

    Raises:
        UnclearRule: The value is no list of rules.
    """
    if isinstance(written, str):
        return list(split_rules(written))
    if isinstance(written, Mapping):
        rules = cast("Mapping[object, object]", written)
        return [{head: limits} for head, limits in rules.items()] if _PARTS.isdisjoint(rules) else [rules]
    if isinstance(written, Budget):
        return [written]
    if not isinstance(written, Sequence):
        raise UnclearRule(f"{written!r:.200} is not a list of rules: {_FORM}")
    return [
        rule
        for item in cast("Sequence[object]", written)
        for rule in (split(cast("object", item)) if isinstance(item, (str, Mapping)) else [item])
    ]


def parse(rules: str) -> tuple[Budget, ...]:
    """Parse rules that are joined by semicolons, in their order.

    Raises:
        UnclearRule: A rule cannot be understood; the text quotes the first such rule.
    """
    return tuple(parse_rule(rule) for rule in split_rules(rules))


def split_rules(rules: str) -> list[str]:
    """Split rules at semicolons that are not in a quoted name."""
    return [rule for rule in _RULES.findall(rules) if rule.strip()]


def parse_rule(rule: str) -> Budget:
    """Parse one rule.

    Raises:
        UnclearRule: The rule cannot be understood.
    """
    rule = rule.strip()
    scope, name, window, tail = split_scope(rule)
    items: list[tuple[str, object]] = []
    for item in split_items(tail):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise UnclearRule(f"{item.strip()!r} in {rule!r} is not a limit: write limit=value, such as usd=1")
        items.append((key, value))
    return _budget(rule, scope, name, window, items)


def split_items(text: str) -> list[str]:
    """Split at commas, but not within a number that has a decimal comma: what is quoted then is the whole number."""
    return re.split(r",(?!\s*\d+\s*(?:,|$))", text)


def split_scope(rule: str) -> tuple[str, str | None, str | None, str]:
    """Split a rule into its scope, name, window and limits.

    Raises:
        UnclearRule: The rule has no limits.
    """
    quoted = _QUOTED.fullmatch(rule)
    if quoted is not None:
        return quoted["scope"], quoted["name"].replace('""', '"'), quoted["window"], quoted["limits"]
    head, colon, tail = rule.rpartition(":")
    if not colon:
        if rule.partition("=")[0].strip() in LIMITS:
            raise UnclearRule(f"{rule!r} has no scope: write total:{rule} for all calls together, or user/day:{rule}")
        raise UnclearRule(f"{rule!r} has no limit: {_FORM}{_limitless_hint(rule)}")
    return *_head(head), tail


def _head(head: str) -> tuple[str, str | None, str | None]:
    """Split the text before the colon into scope, name and window.

    A name can have slashes (models do): the text after the last slash is the window only if it is a valid one, or if
    there is no name.
    """
    written, slash, window = head.rpartition("/")
    if not slash or ("=" in written and to_window(window.strip()) is None):
        written, window = head, ""
    scope, equals, name = written.partition("=")
    if equals and like_window(last := name.rpartition("/")[2]):
        raise UnclearRule(
            f"{last!r} in {head!r} is not a window: {ANY_WINDOW}{window_hint(last)}, or put the name in double "
            "quotes if it is a part of it"
        )
    return scope, name.strip() if equals else None, window if slash and written != head else None


def _limitless_hint(rule: str) -> str:
    """Word what to write instead of a rule without a colon: `5`, `user/day=1`, `none`."""
    if hints.is_none(rule):
        return "; for no budget, remove it"
    head, _, value = rule.rpartition("=")
    amount, scope = _CURRENCY.sub("", value).strip(), head.strip() or "total"
    if not money.from_number(amount):
        return ""
    scope = f"total/{meant_window(scope) or scope}" if like_window(scope) else scope
    return f"; write {scope}:usd={amount}" if scope.partition("/")[0].partition("=")[0] in SCOPES else ""


def _from_mapping(rule: Mapping[object, object]) -> list[Budget]:
    """Read one budget whose keys are its parts, or budgets whose keys are scope, name and window."""
    if _PARTS.isdisjoint(rule):
        return [budget for head, limits in rule.items() for budget in _under(str(head).strip(), limits)]
    written = repr(dict(rule))
    items = {str(key): value for key, value in rule.items()}
    scope, name, window = (items.pop(key, None) for key in ("scope", "name", "window"))
    if isinstance(name, bool) or not (name is None or isinstance(name, (str, int))):
        # YAML has converted the name (`on`, 4.10); a budget with another name would apply to no call.
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
        raise UnclearRule(f"{scope!r} in {rule!r} is not a scope: {_scope_hint(scope, name, window, items)}")
    known = to_window(window.strip()) if window is not None else None
    if window is not None and known is None:
        if ":" in window:  # `user/day:usd=1|agent:usd=2`, and the same with a blank or a line break
            raise UnclearRule(f"{rule!r} is not one rule: rules are joined by ';', and the limits of a rule by ','")
        window = window.strip()
        raise UnclearRule(f"{window!r} in {rule!r} is not a window: {ANY_WINDOW}, or remove it{window_hint(window)}")
    window = known
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
            raise UnclearRule(f"{key!r} in {rule!r} is not a limit: {_one_of(tuple(LIMITS))}{hints.near(key, LIMITS)}")
        unit = LIMITS[key]
        if unit in limits:
            raise UnclearRule(f"{rule!r} limits {key} twice: remove one")
        if unit == "seconds" and scope not in _TIMED:
            raise UnclearRule(f"{rule!r} limits the seconds of a {scope}, but only a trace has a duration")
        limits[unit] = to_limit(unit, value, rule)
    if not limits:
        raise UnclearRule(f"{rule!r} has no limit: add one of {', '.join(LIMITS)}")
    return limits, on_exceed


_NO_SCOPES = {
    "run": "a run has its limits in code, otel_agentcost.run(..., usd=1)",
    "{": "rules have no brackets: remove them",
    "[": "rules have no brackets: remove them",
}
"""Hints for what stands in place of a scope, by its beginning."""


def _scope_hint(scope: str, name: str | None, window: str | None, items: list[tuple[str, object]]) -> str:
    """Word what to write instead of a scope that does not exist."""
    first, colon, rest = (part.strip() for part in scope.partition(":"))
    limits = ",".join(f"{key}={value}" for key, value in items)
    period = (f"/{window.strip()}" if window else "") + f":{limits}"
    if colon:
        if first not in SCOPES or ("=" in rest and not like_window(rest)):
            return "rules are joined by ';'"
        is_window = like_window(rest)
        meant = f"/{meant_window(rest) or rest}:{limits}" if is_window else f"={rest}{period}"
        return f"a {'window' if is_window else 'name'} stands behind {meant[0]!r}: write {first}{meant}"
    parts = re.split(r"[\s._-]+(?:per[\s._-]+)?|@", scope, maxsplit=1)
    if len(parts) == 2 and parts[0] in SCOPES and (window := meant_window(parts[1])) is not None:
        return f"a window stands behind '/': write {parts[0]}/{window}:{limits}"
    if (window := meant_window(scope)) is not None:
        return f"it is a window: write total/{window}:{limits}, or user/..."
    for first, hint in _NO_SCOPES.items():
        if scope.startswith(first):
            return hint
    meant = hints.near(scope, SCOPES)
    named = "" if meant or name is not None else f"; for a user of that name write user={scope}{period}"
    return _one_of(SCOPES) + meant + named


def _limit_hint(unit: Unit, value: object, rule: str | None) -> str:
    number, slash, window = (part.strip() for part in str(value).partition("/"))
    if slash and (window := meant_window(window) or "") and money.from_number(number):
        if rule is None:
            return f"; a limit per {window} is a rule of the budgets: total/{window}:{WRITTEN[unit]}={number}"
        return f"; the window stands behind the scope, as in user/{window}:usd={number}"
    if rule is not None and "=" in str(value):
        return "; the limits of a rule are joined by ','"
    return hints.limit(value, seconds=unit == "seconds")


def to_limit(unit: Unit, value: object, rule: str | None = None) -> int:
    """Parse a limit.

    Args:
        unit: The unit of the limit.
        value: A number, or text.
        rule: The rule that it is part of, to be quoted; None if the caller's text quotes the value.

    Returns:
        The limit in whole units: nano-dollars, tokens, calls, seconds.

    Raises:
        UnclearRule: The value is not a limit. Without a rule, the text completes "X is 'v', ".
    """
    where = "which" if rule is None else f"{value!r} in {rule!r}"
    if isinstance(value, str) and _CURRENCY.search(value):
        hint = hints.number(value) or "; write 1.50 for a dollar fifty, without a currency sign"
        raise UnclearRule(f"{where} is not a number{hint.replace(';', ':', 1)}")
    amount = money.from_number(value.strip() if isinstance(value, str) else value)
    scale = money.NANO_PER_USD if unit == "nano_usd" else 1
    if amount is None or amount == 0:
        raise UnclearRule(f"{where} is not a limit: write a number above zero{_limit_hint(unit, value, rule)}")
    if amount > Decimal(MOST) / scale:
        raise UnclearRule(f"{where} is too large: the largest limit is {MOST // scale}")
    whole = int(money.multiply(amount, Decimal(scale)))
    if whole == 0 or (scale == 1 and whole != amount):
        what = "a billionth of a dollar or more" if scale > 1 else "a whole number"
        raise UnclearRule(f"{where} cannot be counted: write {what}")
    return whole


def to_action(value: object, rule: str) -> Action:
    """Parse an action.

    Raises:
        UnclearRule: There is no such action.
    """
    if value not in ACTIONS:
        raise UnclearRule(f"{value!r} in {rule!r} is not an action: {_one_of(ACTIONS)}{hints.near(value, ACTIONS)}")
    return value


def _one_of(words: Sequence[str]) -> str:
    return f"write one of {', '.join(words)}"
