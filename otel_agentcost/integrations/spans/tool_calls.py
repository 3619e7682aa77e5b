"""Tool call spans of frameworks (pydantic-ai, google-adk), MCP and OpenInference: each call is counted once.

A call may have several nested spans: of the framework, of the MCP client, of this package. A span of this package
counts the call, because it has more information; without one, the outermost span counts it. Spans of servers do not
count: their client has a span of the same call. Called by `processor.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind

from otel_agentcost.calls import active
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.tool_call import TOOL_MARK, ToolCall, open_call
from otel_agentcost.core import money, semconv
from otel_agentcost.integrations.spans.sources import failure
from otel_agentcost.telemetry import attribution, blocks, rollup, run_context
from otel_agentcost.telemetry.held_span import before_end
from otel_agentcost.telemetry.recorder import SpanAccount

_OWN: Final = "otel_agentcost"
_KIND: Final = "openinference.span.kind"
_OPENINFERENCE_NAME: Final = "tool.name"
_CALL: Final = "tools/call"
_FAILED_AT: Final = "pydantic_ai.tool.failure_stage"
_REFUSAL: Final = "pydantic_ai.exceptions.ToolRetryError"
_PREFIX: Final = f"{semconv.EXECUTE_TOOL} "


class _Mark:
    """One tool call, referenced by its span and by the spans inside it."""

    __slots__ = ("call", "call_id", "counted", "tool")

    def __init__(self, tool: str, call_id: object, *, counted: bool) -> None:
        self.tool = tool
        self.call_id = call_id
        """The id that the model gave the call, if the span has it."""
        self.counted = counted
        """True if a span of this package counts the call."""
        self.call: ToolCall | None = None
        """The `ToolCall` for the same call inside the span, which has more information."""

    def is_of(self, tool: str, call_id: object) -> bool:
        """Return True if a span inside this call is of the same call. One with another id is a call within the call."""
        return self.tool == tool and (call_id is None or self.call_id in (None, call_id))


class ToolCallSpans:
    """Counts tool calls from spans of other instrumentations. One for each `instrument()`."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation

    def start(self, span: Span, parent_context: Context | None) -> None:
        """Check if `span`, which has just started, represents a tool call, and count the call when the span ends."""
        ctx = blocks.here(parent_context)
        parent = trace.get_current_span(ctx)
        outer: _Mark | None = getattr(parent, TOOL_MARK, None)
        attributes: Mapping[str, Any] = span.attributes or {}
        if span.kind is SpanKind.CLIENT and attributes.get(semconv.MCP_METHOD) == _CALL:
            self._adopt_mcp_request(span, ctx)
            return
        tool = _tool_of(span, attributes)
        if tool is None:
            if outer is not None and attributes.get(semconv.OPERATION) not in semconv.AGENT_OPERATIONS:
                setattr(span, TOOL_MARK, outer)
            return
        scope = span.instrumentation_scope
        own = scope is not None and scope.name == _OWN
        call_id = attributes.get(semconv.TOOL_CALL_ID)
        if outer is not None and outer.is_of(tool, call_id):
            outer.counted = outer.counted or own
            setattr(span, TOOL_MARK, outer)
            return
        mark = _Mark(tool, call_id, counted=own)
        setattr(span, TOOL_MARK, mark)
        if not own and not self._adopt_framework_span(span, mark, ctx):
            before_end(span, lambda: self._count(span, mark, ctx))

    def _adopt_framework_span(self, span: Span, mark: _Mark, ctx: Context) -> bool:
        """Let an open `ToolCall` adopt `span`, if it left the span to the framework. Return True if it did."""
        call = open_call(ctx)
        end_call = call.adopt_span(span) if call is not None and call.name == mark.tool else None
        if end_call is None:
            return False
        mark.counted = True
        before_end(span, end_call)
        return True

    def _adopt_mcp_request(self, span: Span, ctx: Context) -> None:
        """Let an open `ToolCall` adopt `span`, the span of an MCP client that calls a tool, if it has no span yet."""
        call = open_call(ctx)
        end_call = call.adopt_span(span) if call is not None else None
        if end_call is not None:
            before_end(span, end_call)

    def _count(self, span: Span, mark: _Mark, ctx: Context) -> None:
        running = self._instrumentation
        if mark.counted or not active.is_active(running):
            return
        mark.counted = True
        call, mark.call = mark.call, None
        if call is not None:
            call.settle_on(span, running, ctx)
            return
        if _never_ran(span):
            return
        price = running.tool_prices.find(mark.tool)
        usd: Decimal | None = None
        parent_tally = rollup.tally_of(trace.get_current_span(ctx))
        if price is not None:
            usd = price.of(_nanoseconds(span))
            span.set_attribute(semconv.COST, money.to_float(usd))
        running.tool_used(span, ctx, usd)
        attributed = attribution.current(ctx, running.attribution, parent_tally)
        tally = rollup.tally_of(span) or parent_tally
        account = SpanAccount(attributed, ctx, run_context.current(ctx), tally)
        running.recorder.charge_tool_call(account, mark.tool, usd, None, failure(span))


def _tool_of(span: Span, attributes: Mapping[str, Any]) -> str | None:
    """Return the tool if `span` represents a tool call; None for any other span."""
    operation = attributes.get(semconv.OPERATION)
    named = span.name.startswith(_PREFIX)
    tool_name = attributes.get(semconv.TOOL)
    if not (
        operation == semconv.EXECUTE_TOOL
        or (operation is None and (named or tool_name is not None))
        or attributes.get(_KIND) == "TOOL"
    ):
        return None
    if span.kind in (SpanKind.SERVER, SpanKind.CONSUMER):
        return None
    tool = str(tool_name or attributes.get(_OPENINFERENCE_NAME) or span.name.removeprefix(_PREFIX))
    return None if tool.startswith("(") else tool  # "(merged tools)" of google-adk: each call has its own span too


def _never_ran(span: Span) -> bool:
    """Return True if pydantic-ai rejected the arguments or the tool's name, so that the tool did not run.

    Older releases only have an exception event. A tool that asks for a retry has the same event, but it ran: then a
    `ToolCall` exists, and this function is not called.
    """
    if (span.attributes or {}).get(_FAILED_AT) == "validation":
        return True
    return any(str((event.attributes or {}).get("exception.type")).endswith(_REFUSAL) for event in span.events)


def _nanoseconds(span: Span) -> int:
    return time.time_ns() - (span.start_time or 0)
