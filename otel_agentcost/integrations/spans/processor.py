"""The span processor: it tracks the start and end of each trace and of each agent in it.

It attaches totals to local root spans and agent spans, and writes them before the spans end. It passes spans of other
instrumentations to `model_calls.py` and `tool_calls.py`. A processor only gets recorded spans: a rule that must also
hold for unsampled traces belongs in the pipeline, not here. Nothing here raises, except the refusal of a call, because
an exception in a processor reaches the application (`on_start`) or loses spans (`on_end`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind

from otel_agentcost.calls.admission import Gates
from otel_agentcost.calls.agent_run import adopt_span, is_duplicate
from otel_agentcost.calls.finalize import settle_pending, wait_for
from otel_agentcost.calls.loop_guard import LoopGuard
from otel_agentcost.calls.scopes import trace_id_of
from otel_agentcost.core import semconv
from otel_agentcost.diagnostics import report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.integrations.spans.model_calls import ModelCallSpans
from otel_agentcost.integrations.spans.sources import source_of
from otel_agentcost.integrations.spans.tool_calls import ToolCallSpans
from otel_agentcost.telemetry import adoption, rollup
from otel_agentcost.telemetry.held_span import HeldEnd, end_held
from otel_agentcost.telemetry.metrics import Metrics
from otel_agentcost.telemetry.rollup import Tally
from otel_agentcost.telemetry.set_at_once import set_at_once

LONGEST_WAIT = 600.0
"""Seconds for which a span waits for calls that are still in flight: SDKs give up a request after that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanObservers:
    """The parts of one active `instrument()` that the processor informs of spans."""

    metrics: Metrics
    model_calls: ModelCallSpans
    tool_calls: ToolCallSpans
    gates: Gates
    loops: LoopGuard | None
    timed: bool
    """True if a budget limits the seconds of a trace, so that its start time is needed."""
    clock: Callable[[], float] = time.time

    def trace_started(self, root: Span) -> None:
        """Record the start time of the trace that begins with `root`, if a budget limits its seconds."""
        if self.timed and (gate := self.gates.gate) is not None:
            gate.guard.begin("trace", trace_id_of(root), self.clock())

    def trace_ended(self, trace_id: str) -> None:
        """Remove the state of a trace that has ended."""
        if (gate := self.gates.gate) is not None:
            gate.guard.ended("trace", trace_id)
        if self.loops is not None:
            self.loops.ended(trace_id)


class AgentCostProcessor(SpanProcessor):
    """Keeps the totals of traces and agents.

    A tracer provider cannot remove a processor. Without observers, this one does nothing.
    """

    def __init__(self) -> None:
        self.added = False
        """True if the processor was added to a tracer provider."""
        self.observers: SpanObservers | None = None
        """The observers of the active `instrument()`; None after `uninstrument()`."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        observers = self.observers
        if observers is None:
            return
        try:
            self._start(span, parent_context, observers)
            if _is_own_model_call(span):  # the pipeline does the rest
                return
            adopt_span(span, parent_context)
            adoption.remember(span)
            adoption.mark_watched(span)
            if (source := source_of(span)) is not None:
                observers.model_calls.start(span, source, parent_context)
            observers.tool_calls.start(span, parent_context)
        except BudgetExceeded:
            raise
        except Exception as error:
            report("starting a span's totals", error)

    def _start(self, span: Span, parent_context: Context | None, observers: SpanObservers) -> None:
        parent = trace.get_current_span(parent_context)
        outer = rollup.tally_of(parent)
        local_root = span.parent is None or span.parent.is_remote
        agent = self._is_agent(span) and not is_duplicate(span, parent_context)
        if local_root:
            observers.trace_started(span)
        if outer is not None and not local_root and not agent:
            rollup.attach(span, outer)
            return
        tally = Tally(None if local_root else outer, span if agent else None)
        rollup.attach_own(span, tally)
        HeldEnd(span, lambda: self._end(span, tally, local_root=local_root), partial(wait_for, tally))

    @staticmethod
    def _is_agent(span: Span) -> bool:
        attributes = span.attributes
        return attributes is not None and attributes.get(semconv.OPERATION) in semconv.AGENT_OPERATIONS

    def _end(self, span: Span, tally: Tally, *, local_root: bool) -> None:
        observers = self.observers
        if observers is None:
            return
        end_held(LONGEST_WAIT)
        if local_root and span.parent is None:  # a trace with a remote parent may have more local roots
            observers.trace_ended(trace_id_of(span))
        if tally.empty:
            return
        set_at_once(span, tally.attributes())
        if local_root:
            ctx = trace.set_span_in_context(span, context.Context())
            observers.metrics.trace_ended(tally.known, tally.llm_calls, ctx)

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing: an ended span cannot be written to."""

    def shutdown(self) -> None:
        """Do nothing: there is nothing to release."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Settle dropped streams that wait for a safe moment. Nothing else is buffered here."""
        del timeout_millis
        settle_pending()
        return True


def _is_own_model_call(span: Span) -> bool:
    """Return whether the pipeline opened `span`: its only spans of the kind CLIENT are model calls."""
    scope = span.instrumentation_scope
    return span.kind is SpanKind.CLIENT and scope is not None and scope.name == "otel_agentcost"
