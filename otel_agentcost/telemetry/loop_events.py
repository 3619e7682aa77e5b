"""Span events, log records and metrics of loops.

`calls/loop_guard.py` calls this module with the loops that it detected. This module detects nothing.
"""

from __future__ import annotations

from decimal import Decimal

from opentelemetry.metrics import Meter
from opentelemetry.trace import Span

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.core.loops import Finding
from otel_agentcost.diagnostics import logger
from otel_agentcost.errors import written
from otel_agentcost.telemetry import run_context, signals
from otel_agentcost.telemetry.metrics import Bounded, create_counter
from otel_agentcost.telemetry.receiver import Notify, Receiver

_ONE = Decimal(1)


class LoopReports:
    """Reports loops through the instruments of one meter, span events and log records."""

    def __init__(self, meter: Meter) -> None:
        self.receiver: Receiver | None = None
        """Gets each loop too; None if nothing keeps them."""
        self.notify: Notify | None = None
        """Tells people of loops; None if no webhook is set."""
        self._bounded_name = Bounded()
        self._detections = create_counter(meter, signals.LOOPS)
        self._waste = create_counter(meter, signals.LOOP_WASTE)

    def found(self, span: Span, loop: Finding, wasted: Decimal | None, *, agent: str | None, content: bool) -> None:
        """Report a loop that was not reported before: one event, one log record, one count.

        Args:
            span: The span of the model call in which the loop was detected.
            loop: The loop.
            wasted: Cost of the loop since its first round, in US dollars; None if nothing of it is known.
            agent: Name of the agent, if known.
            content: True if spans may carry the arguments and results of tools.
        """
        self._detections.add(_ONE, self._base(loop, agent))
        attributes: dict[str, AttributeValue] = {
            semconv.LOOP_RULE: loop.rule,
            semconv.LOOP_REPEATS: loop.repeats,
            semconv.LOOP_PERIOD: loop.period,
        }
        if wasted is not None:
            attributes[semconv.LOOP_WASTED] = money.to_float(wasted)
        if loop.tool is not None:
            attributes[semconv.TOOL] = loop.tool
        if content:
            attributes |= {semconv.LOOP_ARGUMENTS: loop.arguments, semconv.LOOP_RESULT: loop.result}
        span.add_event(semconv.E_LOOP, attributes)
        what = f"of {loop.tool!r:.120}" if loop.tool is not None else "without a tool"
        about = f"{loop.rule}, {loop.repeats} times, {what}"
        run_context.happened("loop", about, agent=agent, usd=wasted)
        if self.receiver is not None:
            self.receiver.event("loop", about, span, agent=agent, usd=wasted)
        trace = span.get_span_context().trace_id
        where = f" in trace {trace:032x}" if trace else ""
        cost = f": {written(wasted, 'usd')} spent since it began" if wasted else ""
        sentence = f"detected a loop {what} ({loop.rule}, {loop.repeats} times){where}{cost}."
        logger.warning("otel-agentcost: %s", sentence)
        if self.notify is not None:
            self.notify.tell("loop", f"{loop.rule} {what}" + (f" in {agent}" if agent else ""), sentence, span)

    def wasted(self, span: Span, loop: Finding, usd: Decimal, more: Decimal, *, agent: str | None) -> None:
        """Record the cost of the loop that a call is part of.

        Args:
            span: The span of the call.
            loop: The loop.
            usd: Cost of the loop since its first round, in US dollars.
            more: The part of `usd` that was spent since the last call in a loop.
            agent: Name of the agent, if known.
        """
        span.set_attribute(semconv.LOOP_WASTED, money.to_float(usd))
        if more:
            self._waste.add(more, self._base(loop, agent))

    def _base(self, loop: Finding, agent: str | None) -> dict[str, str]:
        base: dict[str, str] = {semconv.LOOP_RULE: loop.rule}
        if loop.tool is not None:
            base[semconv.TOOL] = self._bounded_name(loop.tool)
        if agent is not None:
            base[semconv.AGENT] = self._bounded_name(agent)
        return base
