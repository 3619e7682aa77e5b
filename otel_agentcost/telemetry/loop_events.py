"""What is told of loops: an event on the call's span, what the loop has cost, a log record, a metric.

Called by `watching.py`, with what was found; nothing is looked for here.
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
from otel_agentcost.telemetry.metrics import Bounded, counted

_ONE = Decimal(1)


class LoopReports:
    """The instruments of one meter, and the words."""

    def __init__(self, meter: Meter) -> None:
        self._bounded_tool = Bounded()
        self._detections = counted(
            meter, semconv.M_LOOPS, semconv.UNIT_LOOP, "Detected loops; each loop counts once, however long it lasts."
        )
        self._waste = counted(
            meter, semconv.M_LOOP_WASTE, semconv.UNIT_USD, "Dollars spent in loops since their first round."
        )

    def found(self, span: Span, loop: Finding, wasted: Decimal, *, agent: str | None, content: bool) -> None:
        """The trace is in a loop that was not told of yet. `content`: whether its span may have what was said."""
        self._detections.add(_ONE, self._base(loop, agent))
        said: dict[str, AttributeValue] = {
            semconv.LOOP_RULE: loop.rule,
            semconv.LOOP_REPEATS: loop.repeats,
            semconv.LOOP_PERIOD: loop.period,
            semconv.LOOP_WASTED: money.to_float(wasted),
        }
        if loop.tool is not None:
            said[semconv.TOOL] = loop.tool
        if content:
            said |= {semconv.LOOP_ARGUMENTS: loop.arguments, semconv.LOOP_RESULT: loop.result}
        span.add_event(semconv.E_LOOP, said)
        what = f"of {loop.tool!r:.120}" if loop.tool is not None else "without a tool"
        cost = f": {written(wasted, 'usd')} was spent since it began" if wasted else ""
        trace = span.get_span_context().trace_id
        where = f" in trace {trace:032x}" if trace else ""
        logger.warning("otel-agentcost: a loop %s (%s, %d times)%s%s.", what, loop.rule, loop.repeats, where, cost)

    def wasted(self, span: Span, loop: Finding, usd: Decimal, more: Decimal, *, agent: str | None) -> None:
        """What was spent since the loop began that this call is in, `more` of it since the last call in a loop."""
        span.set_attribute(semconv.LOOP_WASTED, money.to_float(usd))
        if more:
            self._waste.add(more, self._base(loop, agent))

    def _base(self, loop: Finding, agent: str | None) -> dict[str, str]:
        base: dict[str, str] = {semconv.LOOP_RULE: loop.rule}
        if loop.tool is not None:
            base[semconv.TOOL] = self._bounded_tool(loop.tool)
        if agent is not None:
            base[semconv.AGENT] = self._bounded_tool(agent)
        return base
