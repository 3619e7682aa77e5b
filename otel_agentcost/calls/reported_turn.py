"""A turn of a program that calls models itself and reports its spend later, such as a coding agent in a subprocess.

The budgets admit each of its model calls: the first one before the turn, each further one when the program says that it
goes on. What a call has used so far counts in the budgets as soon as it is seen, so that other calls meet it. The
report at the end of the turn replaces that, and becomes one span for each model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_agentcost.calls import finalize
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.admission import Gate
from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import NO_TOKENS, Usage
from otel_agentcost.diagnostics import report
from otel_agentcost.guard import CallFacts, Refused, Ticket
from otel_agentcost.guard.ledger import Unit
from otel_agentcost.guard.types import Level
from otel_agentcost.telemetry import attribution, rollup, run_context, spans
from otel_agentcost.telemetry.recorder import SpanAccount
from otel_agentcost.telemetry.rollup import InFlight

finalize.FINALIZERS.add(__name__)

_LEAST: Final = Cost(usd=Decimal("1E-9"))
"""The amount to reserve for a call of unknown size. It refuses the call if nothing is left."""


class ModelReport(NamedTuple):
    """The spend of one model in a turn."""

    provider: str
    """`gen_ai.provider.name`."""
    model: str
    answer: Answer
    """Its usage, and whatever is known of its price."""
    usd: Decimal | None = None
    """US dollars as the program reports them; None if it reports none: list prices apply."""


class ReportedTurn:
    """One turn, from the prompt to the report."""

    def __init__(self, running: Instrumentation, ctx: Context, provider: str, model: str | None) -> None:
        """Begin a turn.

        Args:
            running: The active instrumentation.
            ctx: The context of the agent's run.
            provider: `gen_ai.provider.name`.
            model: The model that the program is expected to call; None if it is not known.
        """
        self._running = running
        self._context = ctx
        self._provider = provider
        self._model = model
        self._around = trace.get_current_span(ctx)
        self._tally = rollup.tally_of(self._around)
        self._who = attribution.current(ctx, running.attribution, self._tally)
        self._started_ns = time.time_ns()
        self._started = time.perf_counter()
        self._admitted: Ticket | None = None
        """The reservation of the next model call; None if it is not admitted yet."""
        self._facts: CallFacts | None = None
        self._counted: dict[Unit, int] = {"nano_usd": 0, "tokens": 0}
        """What the budgets have counted for the calls so far."""
        self.calls: dict[str, int] = {}
        """The number of calls that were seen, by model."""
        self._in_flight = InFlight(self._tally) if self._tally is not None else None
        if self._in_flight is not None:
            self._in_flight.begin()

    def __del__(self) -> None:
        if getattr(self, "_in_flight", None) is not None:  # the program was dropped in the middle of a turn
            finalize.settle_when_safe(self._is_over)

    def _is_over(self) -> None:
        """Let the totals above know that no call of the turn is in flight any more."""
        if self._in_flight is not None:
            self._in_flight.end()
            self._in_flight = None

    # --- before a model call ---

    async def admit(self) -> None:
        """Reserve for the next model call, unless that is done.

        Raises:
            BudgetExceeded: A budget refuses the call.
        """
        gate = self._running.gates.gate
        if gate is None or self._admitted is not None:
            return
        try:
            facts = self._facts = self._facts_of(gate)
            decision = await gate.ask_async(facts, self._around)
        except Exception as bug:  # of a ledger: the call is made, as without budgets
            report("checking budgets", bug)
            return
        if isinstance(decision, Ticket) and (decision.model is not None or decision.max_output_tokens is not None):
            gate.guard.run_without_blocking(partial(gate.guard.release, decision, gate.clock()))
            if decision.fallback_error is not None:  # the program sends the request, so it cannot be rewritten here
                decision = Refused(action="block", error=decision.fallback_error)
            else:
                decision = gate.guard.without_reservation(facts, self._model)
        if isinstance(decision, Refused):
            self._refuse(gate, decision)
        else:
            self._admitted = decision
            for level in decision.over:
                gate.reports.level(self._around, *level)

    def _facts_of(self, gate: Gate) -> CallFacts:
        return _facts_of(gate, self._context, self._who, self._model)

    def _refuse(self, gate: Gate, refused: Refused) -> None:
        """Raise the refusal, on a span of its own like that of any refused model call."""
        call = Call(operation="chat", model=self._model)
        attributes = spans.request_attributes(call, {semconv.PROVIDER: self._provider}, self._who)
        span = self._running.tracer.start_span(spans.name_of(call), self._context, SpanKind.CLIENT, attributes)
        try:
            gate.refuse(span, refused)
        finally:
            span.set_attribute(semconv.ERROR_TYPE, spans.error_type(refused.error))
            span.end()

    # --- what is seen of model calls ---

    def saw(self, model: str, usage: Usage | None) -> None:
        """Count one model call in the budgets, with what is known of its usage before the report.

        Args:
            model: The model.
            usage: Its usage so far; None if it is not known.
        """
        self.calls[model] = self.calls.get(model, 0) + 1
        self._model = model
        gate = self._running.gates.gate
        if gate is None:
            return
        usd = self._list_price(model, usage).usd if usage is not None else None
        used = usage.tokens() if usage is not None else NO_TOKENS
        if self._admitted is None:  # a call of a subagent, or one that had begun before its admission
            facts = self._facts = self._facts_of(gate)
            self._admitted = gate.guard.without_reservation(facts, model)
        self._counted["nano_usd"] += money.to_nano(usd) if usd is not None else 0
        self._counted["tokens"] += used.input + used.output
        self._settle(gate, usd, used.input + used.output)

    def _settle(self, gate: Gate, usd: Decimal | None, tokens: int) -> None:
        ticket, self._admitted = self._admitted, None
        if ticket is not None:
            self._count(gate, lambda: gate.guard.settle(ticket, usd, tokens, gate.clock()))

    def _count(self, gate: Gate, count: Callable[[], Sequence[Level]]) -> None:
        """Run `count`, which changes the ledger, and report the levels of the budgets that it returns."""

        def counted() -> None:
            try:
                for level in count():
                    gate.reports.level(self._around, *level)
            except Exception as bug:  # of a ledger: the turn goes on
                report("settling a turn with its budgets", bug)

        gate.guard.run_without_blocking(counted)

    def _list_price(self, model: str, usage: Usage, terms: tuple[tuple[str, str], ...] = ()) -> Cost:
        return self._running.book.price(
            usage, provider=self._provider, base_url=None, models=(model,), at=time.time(), terms=terms
        )

    # --- the report ---

    def end(self, reports: Sequence[ModelReport], error: str | None = None) -> None:
        """Charge what the program reports for the turn.

        Args:
            reports: The spend of each model.
            error: `error.type`, if the turn failed.
        """
        priced = [(each, self._cost_of(each)) for each in reports]
        try:
            self._settle_all(priced)
        except Exception as bug:  # the telemetry must have the dollars all the same
            report("settling a turn with its budgets", bug)
        for each, cost in priced:
            self._charge_safely(each, cost, error)
        self._is_over()

    def _charge_safely(self, reported: ModelReport, cost: Cost, error: str | None) -> None:
        try:
            self._charge(reported, cost, error)
        except Exception as bug:  # another model may still be charged
            report("charging a turn", bug)

    def _cost_of(self, reported: ModelReport) -> Cost:
        answer = reported.answer
        if reported.usd:  # a program that does not know a price reports 0
            return Cost(usd=reported.usd, source="provider", unpriced=answer.uncounted)
        if answer.usage is None:
            return Cost.unknown(answer.missing or "the program reports no usage")
        cost = self._list_price(reported.model, answer.usage, answer.terms)
        return cost if answer.uncounted is None else cost._replace(unpriced=cost.unpriced or answer.uncounted).known()

    def _settle_all(self, priced: Sequence[tuple[ModelReport, Cost]]) -> None:
        """Replace what the budgets have counted of the turn by what the report says."""
        gate, facts = self._running.gates.gate, self._facts
        if gate is None or facts is None:
            return
        usd = sum((cost.usd for _, cost in priced if cost.usd is not None), start=money.ZERO)
        tokens = sum(used.input + used.output for used in (each.answer.tokens() for each, _ in priced))
        if not self.calls and priced:  # none was seen
            self._settle(gate, usd, tokens)
            return
        if self._admitted is not None:  # the program did not go on after all
            ticket, self._admitted = self._admitted, None
            gate.guard.run_without_blocking(partial(gate.guard.release, ticket, gate.clock()))
        if not priced:
            return
        counted = Ticket(facts.call_id, gate.guard.counted(facts, self._model, facts.now), dict(self._counted))
        self._count(gate, lambda: gate.guard.correct(counted, usd, tokens, gate.clock()))

    def _charge(self, reported: ModelReport, cost: Cost, error: str | None) -> None:
        running, answer = self._running, reported.answer._replace(model=reported.model)
        call = Call(operation="chat", model=reported.model)
        attributes = spans.request_attributes(call, {semconv.PROVIDER: reported.provider}, self._who)
        span = running.tracer.start_span(
            spans.name_of(call), self._context, SpanKind.CLIENT, attributes, start_time=self._started_ns
        )
        tokens = answer.tokens()
        span.set_attributes(spans.answer_attributes(answer, tokens, cost))
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, error)
        calls = max(1, self.calls.get(reported.model, 0))
        if calls > 1:
            span.set_attribute(semconv.CALLS, calls)
        account = SpanAccount(
            self._who,
            trace.set_span_in_context(span, self._context),
            run_context.current(self._context),
            spans.tally_under(span, self._around),
        )
        labels = running.recorder.model_labels("chat", reported.provider, reported.model, reported.model)
        running.recorder.charge_model_call(
            account,
            labels,
            tokens if answer.usage is not None else None,
            cost,
            error,
            seconds=time.perf_counter() - self._started,
            calls=calls,
            answer=answer,
        )
        span.end()


async def usd_left(running: Instrumentation, ctx: Context, model: str | None, *, lasting: bool) -> Decimal | None:
    """Return what the budgets leave for model calls in a context, in US dollars.

    Args:
        running: The active instrumentation.
        ctx: The context, with its attribution.
        model: The model; None if it is not known.
        lasting: True to ignore budgets that begin anew: those of a window, and that of the trace if none is open.

    Returns:
        None if no budget in dollars refuses calls.
    """
    gate = running.gates.gate
    if gate is None:
        return None
    try:
        around = trace.get_current_span(ctx)
        who = attribution.current(ctx, running.attribution, rollup.tally_of(around))
        facts = _facts_of(gate, ctx, who, model)
        if lasting and not around.get_span_context().is_valid:
            facts.scopes = {scope: value for scope, value in facts.scopes.items() if scope != "trace"}
        nano = await gate.guard.left_async(facts, windows=not lasting)
    except Exception as bug:  # of a ledger: the program runs without a limit of its own
        report("reading what budgets leave", bug)
        return None
    return None if nano is None else money.from_nano(nano)


def _facts_of(gate: Gate, ctx: Context, who: Mapping[str, str], model: str | None) -> CallFacts:
    call = Call(operation="chat", model=model, max_output_tokens=1)
    return gate.facts_of_span(call, trace.get_current_span(ctx), ctx, who, lambda _usage, _model: _LEAST)
