"""Circuit breakers on the line: asked before the budgets, and told what these have answered.

Called by `admission.py`, for calls, and by `watching.py`, for loops. The guard decides; telemetry tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from opentelemetry.trace import Span

from otel_agentcost.border import report
from otel_agentcost.core.budgets import Scope
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard import Breakers, CallFacts, Change, Guard, Refused, Ticket, Verdict
from otel_agentcost.guard.aside import aside
from otel_agentcost.telemetry.breakers import BreakerReports


class Breaking:
    """A guard with circuit breakers in front of it."""

    def __init__(self, guard: Guard, breakers: Breakers, reports: BreakerReports) -> None:
        self._guard = guard
        self._breakers = breakers
        self._reports = reports

    def admit(self, facts: CallFacts, span: Span, *, patient: bool = True) -> Ticket | Refused:
        """As the guard's."""
        asked = self._ask(facts, span)
        if isinstance(asked, Refused):
            return asked
        decision = self._guard.admit(facts, patient=patient)
        self._decided(asked, decision, facts, span)
        return decision

    async def admit_async(self, facts: CallFacts, span: Span) -> Ticket | Refused:
        """As the guard's. A ledger that takes its time is asked in a thread."""
        if self._guard.quick:
            asked = self._ask(facts, span)
        else:
            asked = await aside(partial(self._ask, facts, span), _nothing)
        if isinstance(asked, Refused):
            return asked
        decision = await self._guard.admit_async(facts)
        if asked.trials or isinstance(decision, Refused):
            if self._guard.quick:
                self._decided(asked, decision, facts, span)
            else:
                await aside(partial(self._decided, asked, decision, facts, span), _nothing)
        return decision

    def looping(self, scopes: Mapping[Scope, str], span: Span, now: float) -> None:
        """A call goes round in circles."""

        def trip() -> None:
            try:
                self._tell(span, self._breakers.tripped(scopes, "loops", now))
            except Exception as bug:
                report("counting a loop for its circuit breaker", bug)

        self._guard.without_delay(trip)

    def _ask(self, facts: CallFacts, span: Span) -> Verdict | Refused:
        try:
            verdict = self._breakers.ask(facts.scopes, facts.now)
        except Exception as bug:
            report("asking the circuit breakers", bug)
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
            trace_id=facts.trace_id,
            circuit=breaker.why,
        )
        return Refused(action="block", error=error)

    def _decided(self, asked: Verdict, decision: Ticket | Refused, facts: CallFacts, span: Span) -> None:
        try:
            if isinstance(decision, Ticket):
                self._tell(span, self._breakers.admitted(asked, facts.now))
                return
            self._breakers.given_up(asked, facts.now)
            self._tell(span, self._breakers.tripped(facts.scopes, "refusals", facts.now))
        except Exception as bug:
            report("telling the circuit breakers", bug)

    def _tell(self, span: Span, changes: Sequence[Change]) -> None:
        for breaker, value, state in changes:
            self._reports.changed(span, breaker, value, state)


def _nothing() -> None:
    """What a trial holds ends with its lease."""
