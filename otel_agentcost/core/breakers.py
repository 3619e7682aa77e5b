"""Parse the rules of circuit breakers, and select the breaker that applies to a call. No clock, no I/O.

    agent:trips=5/10m,open=15m; feature=support:loops=3/1h,open=30m

A rule has a scope, optionally narrowed to one name, the number of refusals by budgets, of loops, of both (`trips`), or
of broken prompt caches (`cache`) within a period that opens the breaker, and the time for which it stays open. A rule
without a name stands for one breaker for each value of its scope.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from otel_agentcost.core import hints
from otel_agentcost.core.budgets import Scope, UnclearRule, quoted_name, split_rules, split_scope

Trip = Literal["refusals", "loops", "cache"]
Counted = Literal["trips", "refusals", "loops", "cache"]

BREAKABLE: tuple[Scope, ...] = ("agent", "feature", "user", "tenant", "team", "conversation", "total")
"""Scopes that outlive a refusal. A trace does not: it ends."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 7 * 86400
_TIME = re.compile(r"(\d{1,6})\s*([smhd])")
_TIMES = re.compile(r"(\d{1,6})\s*/\s*(.*)", re.DOTALL)
_NAMES: Mapping[str, str] = {"trips": "refusals or loops", "cache": "broken prompt caches"}
"""What is counted, for people."""
_FORM = "write scope[=name]:trips=N/time,open=time, such as agent:trips=5/10m,open=15m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One rule."""

    scope: Scope
    name: str | None = None
    """The only value of the scope that the rule is for; None: each value has its own breaker."""
    counted: Counted = "trips"
    """The events that open it; `trips` are refusals and loops."""
    times: int
    within: int
    """Seconds."""
    open_for: int
    """Seconds."""

    text: str = field(init=False, compare=False)
    """The rule in its canonical form."""

    def __post_init__(self) -> None:
        name = "" if self.name is None else f"={quoted_name(self.name)}"
        what = f"{self.counted}={self.times}/{_written(self.within)},open={_written(self.open_for)}"
        object.__setattr__(self, "text", f"{self.scope}{name}:{what}")

    def value(self, scopes: Mapping[Scope, str]) -> str | None:
        """Return the value of its scope for a call with the values `scopes`; None if the rule does not apply."""
        found = scopes.get(self.scope)
        return found if found is not None and self.name in (None, found) else None

    def counts(self, trip: Trip) -> bool:
        """Return whether an event of this kind counts towards opening it."""
        return self.counted == trip or (self.counted == "trips" and trip != "cache")

    @property
    def open_in_words(self) -> str:
        """The time for which it stays open, such as `15m`."""
        return _written(self.open_for)

    @property
    def why(self) -> str:
        """The cause of its opening, for people: `5 refusals within 10m`."""
        what = _NAMES.get(self.counted, self.counted)
        if self.times == 1:
            what = what.replace("s ", " ").removesuffix("s")
        return f"{self.times} {what} within {_written(self.within)}"


def parse(rules: str) -> tuple[Breaker, ...]:
    """Parse rules that are joined by semicolons.

    Args:
        rules: The rules, such as `agent:trips=5/10m,open=15m`.

    Returns:
        The breakers, in the order of the rules.

    Raises:
        UnclearRule: A rule cannot be understood; the text quotes the first such rule.
    """
    return tuple(_parse_rule(rule.strip()) for rule in split_rules(rules))


def _parse_rule(rule: str) -> Breaker:
    if ":" not in rule:
        raise UnclearRule(f"{rule!r} does not say when it opens: {_FORM}")
    scope, name, window, tail = split_scope(rule)
    scope = scope.strip()
    if window is not None or scope not in BREAKABLE:
        raise UnclearRule(
            f"{rule!r} has a scope that is none of {', '.join(BREAKABLE)}: {_FORM}{hints.near(scope, BREAKABLE)}"
        )
    if name is not None and (not name.strip() or scope == "total"):
        raise UnclearRule(f"{rule!r} has an empty name: {_FORM}")
    items = _items(tail, rule)
    open_for = _seconds(items.pop("open"), rule) if "open" in items else None
    if not items:
        raise UnclearRule(f"{rule!r} does not say when it opens: {_FORM}")
    if open_for is None:
        raise UnclearRule(f"{rule!r} does not say for how long: {_FORM}")
    ((counted, value),) = items.items()
    times, within = _times(value, rule)
    return Breaker(
        scope=scope, name=name, counted=cast("Counted", counted), times=times, within=within, open_for=open_for
    )


def _items(tail: str, rule: str) -> dict[str, str]:
    """Return the values by their keys: at most one kind of event, and `open`."""
    items: dict[str, str] = {}
    for item in tail.split(","):
        key, _, value = (part.strip() for part in item.partition("="))
        second_event = key != "open" and not items.keys() <= {"open"}
        if key in items or second_event or key not in (*get_args(Counted), "open"):
            meant = hints.near(key, (*get_args(Counted), "open"))
            raise UnclearRule(f"{item.strip()!r} in {rule!r} is unknown: {_FORM}{meant}")
        items[key] = value
    return items


def _times(value: str, rule: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(value)
    if found is None or int(found[1]) == 0:
        raise UnclearRule(f"{value!r} in {rule!r} is not a number and a time: write 5/10m")
    return int(found[1]), _seconds(found[2], rule)


def _seconds(value: str, rule: str) -> int:
    found = _TIME.fullmatch(value.strip())
    seconds = int(found[1]) * _SECONDS[found[2]] if found is not None else 0
    if not 0 < seconds <= _LONGEST:
        raise UnclearRule(
            f"{value!r} in {rule!r} is not a time from 1s to 7d: write 30s, 10m, 2h or 1d{_time_hint(value)}"
        )
    return seconds


def _time_hint(value: str) -> str:
    word = re.fullmatch(r"(\d{1,6})\s*(s|m|h|d)[a-z]+", value.strip().lower())
    return f"; did you mean {word[1]}{word[2]}?" if word is not None else ""


def _written(seconds: int) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
