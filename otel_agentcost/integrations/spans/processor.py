"""The span processor: where a trace, and each agent in it, begins and ends.

It gives local roots and agent spans a tally and writes the roll-ups on them before they end; spans of calls through
SDKs that we do not patch go to `foreign.py`. It sees only spans that are recorded: whatever must also hold for
unsampled traces belongs on the call path, not here. Nothing here raises, except a refusal of such a call: an exception
in a processor reaches the application (`on_start`) or loses spans (`on_end`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_agentcost.calls.finalize import settle_pending
from otel_agentcost.calls.scopes import trace_id_of
from otel_agentcost.core import semconv
from otel_agentcost.core.budgets import Scope
from otel_agentcost.diagnostics import report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.integrations.spans.sources import source_of
from otel_agentcost.telemetry import adoption, rollup
from otel_agentcost.telemetry.held_span import before_end
from otel_agentcost.telemetry.metrics import Metrics
from otel_agentcost.telemetry.rollup import Tally

if TYPE_CHECKING:
    from otel_agentcost.integrations.spans.model_calls import Foreign
    from otel_agentcost.integrations.spans.tool_calls import ForeignTools


class AgentCostProcessor(SpanProcessor):
    """Keeps the tallies of traces and agents; added to the tracer provider by the instrumentor."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.added = False
        """Whether a tracer provider has it."""
        self.active = True
        """False after `uninstrument`: a provider cannot let go of a processor, so it falls silent instead."""
        self.began: Callable[[Scope, str], object] = _nothing
        """Tells the guard that a trace has begun, where its time is limited."""
        self.ended: Callable[[Scope, str], object] = _nothing
        """Tells the guard that a trace has ended, so that nothing of it is kept."""
        self.foreign: Foreign | None = None
        """Prices and refuses the calls that other instrumentations make spans of."""
        self.tools: ForeignTools | None = None
        """Counts the tool calls that others make spans of."""

    def begin(self, metrics: Metrics) -> None:
        """In force (again): totals go to `metrics`."""
        self._metrics = metrics
        self.began = self.ended = _nothing
        self.active = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if not self.active:
            return
        try:
            self._start(span, parent_context)
            if self.foreign is not None and (source := source_of(span)) is not None:
                self.foreign.start(span, source, parent_context)
            if self.tools is not None:
                self.tools.start(span, parent_context)
        except BudgetExceeded:
            raise
        except Exception as error:
            report("starting a span's tally", error)

    def _start(self, span: Span, parent_context: Context | None) -> None:
        adoption.note(span)
        adoption.mark(span)
        parent = trace.get_current_span(parent_context)
        outer = rollup.tally_of(parent)
        local_root = span.parent is None or span.parent.is_remote
        agent = self._is_agent(span)
        if local_root:
            self.began("trace", trace_id_of(span))
        if outer is not None and not local_root and not agent:
            rollup.attach(span, outer)
            return
        tally = Tally(None if local_root else outer, span if agent else None)
        rollup.attach(span, tally)
        before_end(span, lambda: self._end(span, tally, local_root=local_root))

    @staticmethod
    def _is_agent(span: Span) -> bool:
        given = span.attributes
        return given is not None and given.get(semconv.OPERATION) in semconv.AGENT_OPERATIONS

    def _end(self, span: Span, tally: Tally, *, local_root: bool) -> None:
        if local_root and span.parent is None:  # where a part of a trace ends, others of it may come here again
            self.ended("trace", trace_id_of(span))
        if not tally.calls or not self.active:
            return
        span.set_attributes(tally.attributes())
        if local_root:
            ctx = trace.set_span_in_context(span, context.Context())
            self._metrics.trace_ended(tally.usd if tally.priced else None, tally.llm_calls, ctx)

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing: an ended span cannot be written to."""

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Settles dropped streams that still wait for it; nothing else is buffered here."""
        del timeout_millis
        settle_pending()
        return True


def _nothing(_scope: Scope, _value: str) -> None:
    """Where there is no guard."""
