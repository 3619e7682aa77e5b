"""The budgets that a call counts in, their claims, and what they limit.

Calls of the same user, trace and so on count in the same budgets until a window ends, so the result is cached, bounded.
The guard needs it for every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from otel_agentcost.core.budgets import (
    FOREVER,
    Budget,
    Period,
    Scope,
    Window,
    overlapping,
    period,
    rolling_seconds,
)
from otel_agentcost.guard.ledger import Claim, Unit, slice_seconds
from otel_agentcost.guard.reservation import Policy
from otel_agentcost.guard.types import CallFacts, Counted

IDLE = 86_400.0
"""Seconds for which a trace, a run or a process is kept after its last call, at least."""

STEP = 3_600.0
"""Seconds for which the end of that time is not moved, so that many calls share one claim."""

AT_MOST = 1_000
"""Size of the cache. When it is full it is cleared: entries in use are calculated again within microseconds."""

PASSING: frozenset[Scope] = frozenset({"trace", "run", "process"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """The budgets that apply to a call."""

    counted: tuple[Counted, ...]
    claims: tuple[Claim, ...]
    dollars: bool
    """True if a budget that does more than warn limits dollars."""
    measured: bool
    """True if a budget that does more than warn limits dollars or tokens, so that the worst case matters."""
    clamps: bool
    """True if one of them lowers output limits."""
    timed: bool
    """True if one of them limits a duration."""
    since: float
    until: float
    """The epoch seconds between which this object is valid."""


class ApplicableBudgets:
    """Finds the budgets that apply to a call. Thread-safe: each step reads or writes a whole entry."""

    def __init__(self, budgets: Iterable[Budget], policy: Policy, *, rolling: bool = True) -> None:
        """Make the finder. `rolling`: the ledger knows rolling windows."""
        self._rolling = rolling
        self._budgets = tuple(budgets)
        self._policy = policy
        named = {budget.scope for budget in self._budgets}
        self._by_model = "model" in named
        self._scopes = tuple(named)
        self._known: dict[tuple[str | None, ...], Applicable] = {}
        self._periods: dict[Window | None, Period] = {None: FOREVER}

    def find(self, facts: CallFacts, model: str | None, now: float) -> Applicable:
        """Return the budgets that apply to the call if `model` answers it: those of the rules and of the runs."""
        value = cast("Callable[[str], str | None]", facts.scopes.get)
        key = (*map(value, self._scopes), model if self._by_model else None)
        applied = self._known.get(key)
        if applied is None or not applied.since <= now < applied.until:
            applied = self._calculate(facts, model, now)
            if len(self._known) >= AT_MOST:
                self._known = {}
            self._known[key] = applied
        if facts.allowances:
            more = [self._claim(budget, value, now) for budget, value in facts.allowances]
            applied = self._applicable((*applied.counted, *more), now)
        if (held := facts.held) is not None:
            applied = self._applicable((each for each in applied.counted if not held(each.claim.key)), now)
        return applied

    def _calculate(self, facts: CallFacts, model: str | None, now: float) -> Applicable:
        scopes: Mapping[Scope, str] = facts.scopes if model is None else {**facts.scopes, "model": model}
        values = ((budget, budget.value(scopes)) for budget in self._budgets)
        named = ((budget, value) for budget, value in values if value is not None)
        return self._applicable([each for budget, value in named for each in self._claims(budget, value, now)], now)

    def _applicable(self, counted: Iterable[Counted], now: float) -> Applicable:
        counted = tuple(counted)
        periods = [within for each in counted for within in self._periods_of(each.budget, now)]
        units = {unit for each in counted for unit in each.claim.limits}
        since = now - now % STEP
        return Applicable(
            counted=counted,
            claims=tuple(each.claim for each in counted),
            dollars="nano_usd" in units,
            measured="nano_usd" in units or "tokens" in units,
            clamps=any(self._policy.action(each.budget) == "clamp" for each in counted),
            timed=any("seconds" in each.budget.limits for each in counted),
            since=max([since, *(within.starts for within in periods)]),
            until=min([since + STEP, *(within.ends for within in periods if within.ends is not None)]),
        )

    def _claims(self, budget: Budget, value: str, now: float) -> Iterator[Counted]:
        """Yield the claim of a budget. For a rolling window that the ledger does not know, two, which overlap: the
        limit is for the first, and the second has the spend that the next one begins with.
        """
        within = self._periods_of(budget, now)
        yield self._claim(budget, value, now, within[0])
        for more in within[1:]:
            yield self._claim(replace(budget, limits={}), value, now, more)

    def _claim(self, budget: Budget, value: str, now: float, within: Period | None = None) -> Counted:
        within = within or self._period(budget.window, now)
        passing = budget.scope in PASSING and within.ends is None and within.rolling is None
        until = within.ends
        if passing or within.rolling is not None:
            kept = within.rolling + slice_seconds(within.rolling) if within.rolling is not None else IDLE
            until = now - now % STEP + STEP + kept
        limits: dict[Unit, int] = {}
        if self._policy.action(budget) != "warn":
            limits = {unit: limit for unit, limit in budget.limits.items() if unit != "seconds"}
        key = budget.key(value, within)
        claim = Claim(key=key, limits=limits, until=until, passing=passing, rolling=within.rolling)
        return Counted(budget, value, claim)

    def _periods_of(self, budget: Budget, now: float) -> tuple[Period, ...]:
        if not self._rolling and budget.window is not None and rolling_seconds(budget.window) is not None:
            return overlapping(budget.window, now)
        return (self._period(budget.window, now),)

    def _period(self, window: Window | None, now: float) -> Period:
        within = self._periods.get(window)
        if within is None or not within.starts <= now or (within.ends is not None and within.ends <= now):
            within = self._periods[window] = period(window, now, self._policy.time_zone)
        return within
