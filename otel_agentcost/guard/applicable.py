"""Which budgets a call counts in, and what follows from that alone: their claims, and what they limit.

Calls of the same user, trace, ... count in the same budgets until a window ends, so the answer is kept, bounded.
Asked by the guard for every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from otel_agentcost.core.budgets import FOREVER, Budget, Period, Scope, Window, period
from otel_agentcost.guard.ledger import Claim, Unit
from otel_agentcost.guard.reservation import Policy
from otel_agentcost.guard.types import CallFacts, Counted

IDLE = 86_400.0
"""Seconds for which a trace, a run or a process is remembered after its last call, at least."""

STEP = 3_600.0
"""Seconds for which the end of that time stands still, so that the same claim serves many calls."""

AT_MOST = 1_000
"""Answers that are kept. When there are more, all are dropped: what is in use comes back within microseconds."""

PASSING: frozenset[Scope] = frozenset({"trace", "run", "process"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The budgets that apply to a call."""

    counted: tuple[Counted, ...]
    claims: tuple[Claim, ...]
    dollars: bool
    """Whether one that does more than warn limits dollars."""
    measured: bool
    """Whether one that does more than warn limits dollars or tokens: what a call may take matters."""
    clamps: bool
    """Whether one of them shortens answers."""
    timed: bool
    """Whether one of them limits a duration."""
    since: float
    until: float
    """From when until when, in seconds of the epoch, all this is so."""


class Applying:
    """Finds the budgets that apply. Used from any thread: each step reads or writes a whole entry."""

    def __init__(self, budgets: Iterable[Budget], policy: Policy) -> None:
        self._budgets = tuple(budgets)
        self._policy = policy
        named = {budget.scope for budget in self._budgets}
        self._by_model = "model" in named
        self._scopes = tuple(named)
        self._known: dict[tuple[str | None, ...], Applied] = {}
        self._periods: dict[Window | None, Period] = {None: FOREVER}

    def to(self, facts: CallFacts, model: str | None, now: float) -> Applied:
        """The budgets that apply to the call if `model` answers it: the rules', and those that the code has opened."""
        value = cast("Callable[[str], str | None]", facts.scopes.get)
        key = (*map(value, self._scopes), model if self._by_model else None)
        applied = self._known.get(key)
        if applied is None or not applied.since <= now < applied.until:
            applied = self._worked_out(facts, model, now)
            if len(self._known) >= AT_MOST:
                self._known = {}
            self._known[key] = applied
        if facts.allowances:
            more = [self._claimed(budget, value, now) for budget, value in facts.allowances]
            return self._applied((*applied.counted, *more), now)
        return applied

    def _worked_out(self, facts: CallFacts, model: str | None, now: float) -> Applied:
        scopes: Mapping[Scope, str] = facts.scopes if model is None else {**facts.scopes, "model": model}
        values = ((budget, budget.value(scopes)) for budget in self._budgets)
        return self._applied([self._claimed(budget, value, now) for budget, value in values if value is not None], now)

    def _applied(self, counted: Iterable[Counted], now: float) -> Applied:
        counted = tuple(counted)
        periods = [self._period(each.budget.window, now) for each in counted]
        units = {unit for each in counted for unit in each.claim.limits}
        since = now - now % STEP
        return Applied(
            counted=counted,
            claims=tuple(each.claim for each in counted),
            dollars="nano_usd" in units,
            measured="nano_usd" in units or "tokens" in units,
            clamps=any(self._policy.action(each.budget) == "clamp" for each in counted),
            timed=any("seconds" in each.budget.limits for each in counted),
            since=max([since, *(within.starts for within in periods)]),
            until=min([since + STEP, *(within.ends for within in periods if within.ends is not None)]),
        )

    def _claimed(self, budget: Budget, value: str, now: float) -> Counted:
        within = self._period(budget.window, now)
        passing = budget.scope in PASSING and within.ends is None
        until = now - now % STEP + STEP + IDLE if passing else within.ends
        limits: dict[Unit, int] = {}
        if self._policy.action(budget) != "warn":
            limits = {unit: limit for unit, limit in budget.limits.items() if unit != "seconds"}
        return Counted(budget, value, Claim(key=budget.key(value, within), limits=limits, until=until, passing=passing))

    def _period(self, window: Window | None, now: float) -> Period:
        within = self._periods.get(window)
        if within is None or not within.starts <= now or (within.ends is not None and within.ends <= now):
            within = self._periods[window] = period(window, now, self._policy.time_zone)
        return within
