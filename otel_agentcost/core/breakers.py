"""Circuit breakers as they are written, and which of them a call falls under. Pure, like the budgets.

    agent:trips=5/10m,open=15m; feature=support:loops=3/1h,open=30m

A rule is a scope, perhaps narrowed to one name, how many refusals by budgets, loops, or both (`trips`) within what time
open the breaker, and for how long. A rule without a name is a breaker for each value of its scope.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from otel_agentcost.core.budgets import Scope, UnclearRule, quoted_name, split_rules, split_scope

Trip = Literal["refusals", "loops"]
Counted = Literal["trips", "refusals", "loops"]

BREAKABLE: tuple[Scope, ...] = ("agent", "feature", "user", "tenant", "team", "conversation", "total")
"""Scopes that live on after what went wrong in them; a trace is over then."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 7 * 86400
_TIME = re.compile(r"(\d{1,6})\s*([smhd])")
_TIMES = re.compile(r"(\d{1,6})\s*/\s*(.*)", re.DOTALL)
_FORM = "write scope[=name]:trips=N/time,open=time, such as agent:trips=5/10m,open=15m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One rule."""

    scope: Scope
    name: str | None = None
    """Only this value of the scope; None: each value has a breaker of its own."""
    counted: Counted = "trips"
    """What opens it; `trips` are refusals and loops."""
    times: int
    within: int
    """Seconds."""
    open_for: int
    """Seconds."""

    text: str = field(init=False, compare=False)
    """The rule as it is written."""

    def __post_init__(self) -> None:
        name = "" if self.name is None else f"={quoted_name(self.name)}"
        what = f"{self.counted}={self.times}/{_written(self.within)},open={_written(self.open_for)}"
        object.__setattr__(self, "text", f"{self.scope}{name}:{what}")

    def value(self, scopes: Mapping[Scope, str]) -> str | None:
        """Which value of its scope a call with these values falls under; None where under none."""
        found = scopes.get(self.scope)
        return found if found is not None and self.name in (None, found) else None

    def counts(self, trip: Trip) -> bool:
        """Whether that is what opens it."""
        return self.counted in ("trips", trip)

    @property
    def open_in_words(self) -> str:
        """For how long it is open, as it is written."""
        return _written(self.open_for)

    @property
    def why(self) -> str:
        """What has happened when it opens, for people."""
        what: str = "refusals or loops" if self.counted == "trips" else self.counted
        if self.times == 1:
            what = what.replace("s ", " ").removesuffix("s")
        return f"{self.times} {what} within {_written(self.within)}"


def parse(rules: str) -> tuple[Breaker, ...]:
    """The breakers that `rules` says, in their order. Raises `UnclearRule` for the first that is not understood."""
    return tuple(_parse_rule(rule.strip()) for rule in split_rules(rules))


def _parse_rule(rule: str) -> Breaker:
    if ":" not in rule:
        raise UnclearRule(f"{rule!r} does not say when it opens: {_FORM}")
    scope, name, window, tail = split_scope(rule)
    scope = scope.strip()
    if window is not None or scope not in BREAKABLE:
        raise UnclearRule(f"{rule!r} has a scope that is none of {', '.join(BREAKABLE)}: {_FORM}")
    if name is not None and (not name.strip() or scope == "total"):
        raise UnclearRule(f"{rule!r} has an empty name: {_FORM}")
    counted: Counted | None = None
    times = within = open_for = 0
    for item in tail.split(","):
        key, _, value = (part.strip() for part in item.partition("="))
        if key == "open" and not open_for:
            open_for = _seconds(value, rule)
        elif key in get_args(Counted) and counted is None:
            counted = cast("Counted", key)
            times, within = _times(value, rule)
        else:
            raise UnclearRule(f"{item.strip()!r} in {rule!r} is unknown: {_FORM}")
    if counted is None or not open_for:
        raise UnclearRule(f"{rule!r} does not say {'when it opens' if counted is None else 'for how long'}: {_FORM}")
    return Breaker(scope=scope, name=name, counted=counted, times=times, within=within, open_for=open_for)


def _times(value: str, rule: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(value)
    if found is None or int(found[1]) == 0:
        raise UnclearRule(f"{value!r} in {rule!r} is not a number and a time: write 5/10m")
    return int(found[1]), _seconds(found[2], rule)


def _seconds(value: str, rule: str) -> int:
    found = _TIME.fullmatch(value.strip())
    seconds = int(found[1]) * _SECONDS[found[2]] if found is not None else 0
    if not 0 < seconds <= _LONGEST:
        raise UnclearRule(f"{value!r} in {rule!r} is not a time from 1s to 7d: write 30s, 10m, 2h or 1d")
    return seconds


def _written(seconds: int) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
