"""Circuit breakers: checked before the budgets, and updated with the decisions of the budgets and with loops.

Called by `admission.py`. The guard decides; telemetry reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from opentelemetry.trace import Span

from otel_agentcost.core.budgets import Scope
from otel_agentcost.diagnostics import report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard import Breakers, CallFacts, Change, Guard, Refused, Ticket, Verdict
from otel_agentcost.guard.executor import run_in_thread
from otel_agentcost.telemetry.breaker_events import BreakerReports


class Breaking:
    """A guard with circuit breakers in front of it."""

    def __init__(
        self,
        guard: Guard,
        breakers: Breakers,
        reports: BreakerReports,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._breakers = breakers
        self._reports = reports

    def admit(self, facts: CallFacts, span: Span, *, wait: bool = True) -> Ticket | Refused:
        """Return the decision of the breakers, or else of the guard. Waits for reserved budget only if `wait`."""
        verdict = self._check(facts, span)
        if isinstance(verdict, Refused):
            return verdict
        try:
            decision = self._guard.admit(facts, wait=wait)
        except BaseException:
            self._withdraw(verdict)
            raise
        self._update(verdict, decision, facts, span)
        return decision

    async def admit_async(self, facts: CallFacts, span: Span) -> Ticket | Refused:
        """Do the same as `admit`, without blocking the event loop: a slow ledger is called in a thread."""
        guard = self._guard
        verdict = self._check(facts, span) if guard.nonblocking else await self._check_in_thread(facts, span)
        if isinstance(verdict, Refused):
            return verdict
        try:
            decision = await guard.admit_async(facts)
        except BaseException:  # the task may be cancelled while it waits
            guard.run_without_blocking(partial(self._withdraw, verdict))
            raise
        if not verdict.trials and isinstance(decision, Ticket):
            return decision
        update = partial(self._update, verdict, decision, facts, span)
        if guard.nonblocking:
            update()
            return decision
        try:
            await run_in_thread(update, _keep_decision)
        except BaseException:
            if isinstance(decision, Ticket):
                guard.run_without_blocking(partial(guard.release, decision, self._clock()))
            raise
        return decision

    def loop_detected(self, scopes: Mapping[Scope, str], span: Span, now: float, *, new: bool) -> None:
        """Count a loop.

        Args:
            scopes: The budget scopes of the call.
            span: The span of the call.
            now: The time in seconds since the epoch.
            new: True for a new loop, False for a further round of a loop that was counted already.
        """

        def trip() -> None:
            try:
                breakers = self._breakers
                changes = breakers.trip(scopes, "loops", now) if new else breakers.continue_loop(scopes, now)
                self._report(span, changes)
            except Exception as bug:
                report("counting a loop for its circuit breaker", bug)

        self._guard.run_without_blocking(trip)

    def cache_broken(self, scopes: Mapping[Scope, str], span: Span, now: float) -> None:
        """Count a broken prompt cache.

        Args:
            scopes: The budget scopes of the call.
            span: The span of the call.
            now: The time in seconds since the epoch.
        """

        def trip() -> None:
            try:
                self._report(span, self._breakers.trip(scopes, "cache", now))
            except Exception as bug:
                report("counting a broken prompt cache for its circuit breaker", bug)

        self._guard.run_without_blocking(trip)

    async def _check_in_thread(self, facts: CallFacts, span: Span) -> Verdict | Refused:
        verdicts: list[Verdict | Refused] = []

        def check() -> None:
            verdicts.append(self._check(facts, span))

        await run_in_thread(check, lambda: self._withdraw(*verdicts))
        return verdicts[0]

    def _withdraw(self, verdict: Verdict | Refused) -> None:
        """Return the trial calls of `verdict` to their breakers: the call is not made."""
        try:
            if isinstance(verdict, Verdict):
                self._breakers.abandon(verdict, self._clock())
        except Exception as bug:
            report("updating circuit breakers", bug)

    def _check(self, facts: CallFacts, span: Span) -> Verdict | Refused:
        try:
            verdict = self._breakers.check(facts.scopes, facts.now)
        except Exception as bug:
            report("checking circuit breakers", bug)
            return Verdict()
        if verdict.refusing is None:
            self._report(span, [Change(trial.breaker, trial.value, "half_open") for trial in verdict.trials])
            return verdict
        breaker, value = verdict.refusing
        error = BudgetExceeded(
            budget=breaker.text,
            scope=breaker.scope,
            value=value,
            unit="calls",
            reason="circuit",
            detail=breaker.why,
            trace_id=facts.trace_id,
        )
        return Refused(action="block", error=error)

    def _update(self, verdict: Verdict, decision: Ticket | Refused, facts: CallFacts, span: Span) -> None:
        now = self._clock()  # the call may have waited
        try:
            if isinstance(decision, Ticket):
                changes = self._breakers.close_trials(verdict, now)
            else:
                changes = self._breakers.trip(facts.scopes, "refusals", now, verdict)
            self._report(span, changes)
        except Exception as bug:
            report("updating circuit breakers", bug)

    def _report(self, span: Span, changes: Sequence[Change]) -> None:
        for breaker, value, state in changes:
            self._reports.changed(span, breaker, value, state)


def _keep_decision() -> None:
    """Do nothing if the task is cancelled: the decision stays counted."""
