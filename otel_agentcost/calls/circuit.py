"""Circuit breakers: asked before the budgets, and informed of what the budgets decided and of loops.

Called by `admission.py`. The guard decides; telemetry reports.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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

    def __init__(self, guard: Guard, breakers: Breakers, reports: BreakerReports) -> None:
        self._guard = guard
        self._breakers = breakers
        self._reports = reports

    def admit(self, facts: CallFacts, span: Span, *, wait: bool = True) -> Ticket | Refused:
        """As the guard's."""
        asked = self._ask(facts, span)
        if isinstance(asked, Refused):
            return asked
        try:
            decision = self._guard.admit(facts, wait=wait)
        except BaseException:
            self._give_up(asked)
            raise
        self._decided(asked, decision, facts, span)
        return decision

    async def admit_async(self, facts: CallFacts, span: Span) -> Ticket | Refused:
        """As the guard's. A ledger that takes its time is asked in a thread."""
        guard = self._guard
        asked = self._ask(facts, span) if guard.nonblocking else await self._ask_aside(facts, span)
        if isinstance(asked, Refused):
            return asked
        try:
            decision = await guard.admit_async(facts)
        except BaseException:  # the task may be cancelled while it waits
            guard.run_without_blocking(partial(self._give_up, asked))
            raise
        if not asked.trials and isinstance(decision, Ticket):
            return decision
        decided = partial(self._decided, asked, decision, facts, span)
        if guard.nonblocking:
            decided()
            return decision
        try:
            await run_in_thread(decided, _nothing)
        except BaseException:
            if isinstance(decision, Ticket):
                guard.run_without_blocking(partial(guard.release, decision, time.time()))
            raise
        return decision

    def loop_detected(self, scopes: Mapping[Scope, str], span: Span, now: float, *, new: bool) -> None:
        """Count a loop. `new`: it counts as another loop; else it is a further round of a counted one."""

        def trip() -> None:
            try:
                breakers = self._breakers
                changes = breakers.trip(scopes, "loops", now) if new else breakers.continue_loop(scopes, now)
                self._tell(span, changes)
            except Exception as bug:
                report("counting a loop for its circuit breaker", bug)

        self._guard.run_without_blocking(trip)

    async def _ask_aside(self, facts: CallFacts, span: Span) -> Verdict | Refused:
        answers: list[Verdict | Refused] = []

        def ask() -> None:
            answers.append(self._ask(facts, span))

        await run_in_thread(ask, lambda: self._give_up(*answers))
        return answers[0]

    def _give_up(self, asked: Verdict | Refused) -> None:
        try:
            if isinstance(asked, Verdict):
                self._breakers.abandon(asked, time.time())
        except Exception as bug:
            report("updating circuit breakers", bug)

    def _ask(self, facts: CallFacts, span: Span) -> Verdict | Refused:
        try:
            verdict = self._breakers.check(facts.scopes, facts.now)
        except Exception as bug:
            report("checking circuit breakers", bug)
            return Verdict()
        if verdict.refusing is None:
            self._tell(span, [Change(trial.breaker, trial.value, "half_open") for trial in verdict.trials])
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

    def _decided(self, asked: Verdict, decision: Ticket | Refused, facts: CallFacts, span: Span) -> None:
        now = time.time()  # the call may have waited
        try:
            if isinstance(decision, Ticket):
                changes = self._breakers.close_trials(asked, now)
            else:
                changes = self._breakers.trip(facts.scopes, "refusals", now, asked)
            self._tell(span, changes)
        except Exception as bug:
            report("updating circuit breakers", bug)

    def _tell(self, span: Span, changes: Sequence[Change]) -> None:
        for breaker, value, state in changes:
            self._reports.changed(span, breaker, value, state)


def _nothing() -> None:
    """What was decided stays so."""
