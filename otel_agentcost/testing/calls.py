"""Recorded calls, as small values: `CallExporter` reads them from spans and keeps them in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import format_trace_id

from otel_agentcost.core import money, semconv

__all__ = ["CallExporter", "RecordedCall", "RecordedTool"]

_REFUSALS = frozenset({semconv.REFUSED, "otel_agentcost.LoopDetected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """One model call. Counts and amounts that are not known are None, never 0."""

    operation: str
    """`chat`, `embeddings`, `generate_content` ..."""
    provider: str
    model: str
    """The model that served the call; the requested one where no answer arrived."""
    requested_model: str
    """The model that was requested, after a downgrade."""
    input_tokens: int | None
    """All tokens of the prompt, cached ones included."""
    output_tokens: int | None
    """All tokens of the answer, reasoning included."""
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    estimated: bool
    """Whether the provider sent no usage, so that the tokens were counted here."""
    usd: Decimal | None
    """US dollars; None for a call without a price, and for one that was not made."""
    unpriced: str | None
    """Why there is no price."""
    refused: bool
    """Whether a budget, a circuit breaker or the loop detection refused the call, so that nothing was sent."""
    error: str | None
    """The `error.type` of the span, such as `otel_agentcost.BudgetExceeded` or `openai.RateLimitError`."""
    user: str | None
    tenant: str | None
    team: str | None
    feature: str | None
    agent: str | None
    conversation: str | None
    trace_id: str
    """32 hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTool:
    """One call of a tool."""

    name: str
    usd: Decimal | None
    """US dollars; None for a tool without a price."""
    error: str | None
    """The `error.type` of the span; None if the tool succeeded."""
    agent: str | None
    trace_id: str
    """32 hexadecimal digits."""


class CallExporter(SpanExporter):
    """A span exporter that keeps model calls and tool calls in memory, in the order in which they ended.

    Example:
        exporter = CallExporter()
        tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))

    """

    def __init__(self) -> None:
        self._calls: list[RecordedCall] = []
        self._tools: list[RecordedTool] = []
        self._lock = threading.Lock()

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """The model calls that have ended, refused ones included."""
        with self._lock:
            return tuple(self._calls)

    @property
    def tools(self) -> tuple[RecordedTool, ...]:
        """The tool calls that have ended."""
        with self._lock:
            return tuple(self._tools)

    @property
    def usd(self) -> Decimal:
        """US dollars of all calls and tools that have a price."""
        total = money.ZERO
        for usd in (*(call.usd for call in self.calls), *(tool.usd for tool in self.tools)):
            total = money.add(total, usd or money.ZERO)
        return total

    def clear(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()
            self._tools.clear()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep the calls that ended spans describe.

        Args:
            spans: Ended spans. Spans of agents and of anything but models and tools are ignored.

        Returns:
            `SpanExportResult.SUCCESS`, always.

        """
        for span in spans:
            attributes = dict(span.attributes or {})
            operation = str(attributes.get(semconv.OPERATION, ""))
            if not operation or operation in semconv.AGENT_OPERATIONS:
                continue
            trace_id = format_trace_id(span.context.trace_id) if span.context else ""
            with self._lock:
                if operation == semconv.EXECUTE_TOOL:
                    self._tools.append(_tool(attributes, trace_id))
                else:
                    self._calls.append(_call(attributes, operation, trace_id, cut_off=_cut_off(span)))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Keep everything: the test reads it afterwards."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 (the base class's signature)
        """Return True: nothing is buffered.

        Args:
            timeout_millis: Ignored.

        """
        return True


def _call(attributes: Mapping[str, Any], operation: str, trace_id: str, *, cut_off: bool) -> RecordedCall:
    requested = str(attributes.get(semconv.REQUEST_MODEL, ""))
    error = attributes.get(semconv.ERROR_TYPE)
    return RecordedCall(
        operation=operation,
        provider=str(attributes.get(semconv.PROVIDER, "")),
        model=str(attributes.get(semconv.RESPONSE_MODEL, requested)),
        requested_model=requested,
        input_tokens=attributes.get(semconv.INPUT_TOKENS),
        output_tokens=attributes.get(semconv.OUTPUT_TOKENS),
        cache_read_tokens=attributes.get(semconv.CACHE_READ_TOKENS),
        cache_write_tokens=attributes.get(semconv.CACHE_WRITE_TOKENS),
        reasoning_tokens=attributes.get(semconv.REASONING_TOKENS),
        estimated=bool(attributes.get(semconv.ESTIMATED)),
        usd=money.from_number(attributes.get(semconv.COST)),
        unpriced=attributes.get(semconv.UNPRICED),
        refused=error in _REFUSALS and not cut_off,
        error=error,
        user=attributes.get(semconv.USER),
        tenant=attributes.get(semconv.TENANT),
        team=attributes.get(semconv.TEAM),
        feature=attributes.get(semconv.FEATURE),
        agent=attributes.get(semconv.AGENT),
        conversation=attributes.get(semconv.CONVERSATION),
        trace_id=trace_id,
    )


def _tool(attributes: Mapping[str, Any], trace_id: str) -> RecordedTool:
    return RecordedTool(
        name=str(attributes.get(semconv.TOOL, "")),
        usd=money.from_number(attributes.get(semconv.COST)),
        error=attributes.get(semconv.ERROR_TYPE),
        agent=attributes.get(semconv.AGENT),
        trace_id=trace_id,
    )


def _cut_off(span: ReadableSpan) -> bool:
    """Return whether a call was sent and its stream was closed before its end."""
    events = (event.attributes or {} for event in span.events if event.name == semconv.E_BUDGET_EXCEEDED)
    return any(attributes.get(semconv.BUDGET_ACTION) == "cut_off" for attributes in events)
