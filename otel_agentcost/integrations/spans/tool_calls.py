"""Tool calls that others make spans of, counted once each: frameworks (pydantic-ai, google-adk), MCP, OpenInference.

One call may have several spans, one inside the other: the framework's, the MCP client's, one of ours. The outermost is
the call, unless one of ours is inside it, which knows more and has counted it. Servers' spans are not the call: their
client has one. Called by `processor.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind

from otel_agentcost.calls import active
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.tool_call import TOOL_MARK, ToolCall, open_call
from otel_agentcost.core import money, semconv
from otel_agentcost.integrations.spans.sources import failure
from otel_agentcost.telemetry import attribution, rollup, run_context
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
    """One call of a tool, on its span and on those beneath it."""

    __slots__ = ("call", "call_id", "counted", "tool")

    def __init__(self, tool: str, call_id: object, *, counted: bool) -> None:
        self.tool = tool
        self.call_id = call_id
        """The model's, where the span says it."""
        self.counted = counted
        """Whether a span of ours counts it."""
        self.call: ToolCall | None = None
        """The same call seen from within, where more is known of it."""

    def is_of(self, tool: str, call_id: object) -> bool:
        """Whether a span beneath, of this tool, is of the same call. With another id it is a call within the call."""
        return self.tool == tool and (call_id is None or self.call_id in (None, call_id))


class ToolCallSpans:
    """Watches the spans that other instrumentations make of tool calls. One for each `instrument()`."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation

    def start(self, span: Span, parent_context: Context | None) -> None:
        """Look at `span`, any span, which has just started."""
        ctx = parent_context if parent_context is not None else context.get_current()
        parent = trace.get_current_span(ctx)
        around: _Mark | None = getattr(parent, TOOL_MARK, None)
        attributes: Mapping[str, Any] = span.attributes or {}
        if span.kind is SpanKind.CLIENT and attributes.get(semconv.MCP_METHOD) == _CALL:
            self._request(span, ctx)
            return
        tool = _tool_of(span, attributes)
        if tool is None:
            if around is not None and attributes.get(semconv.OPERATION) not in semconv.AGENT_OPERATIONS:
                setattr(span, TOOL_MARK, around)
            return
        scope = span.instrumentation_scope
        own = scope is not None and scope.name == _OWN
        call_id = attributes.get(semconv.TOOL_CALL_ID)
        if around is not None and around.is_of(tool, call_id):
            around.counted = around.counted or own
            setattr(span, TOOL_MARK, around)
            return
        mark = _Mark(tool, call_id, counted=own)
        setattr(span, TOOL_MARK, mark)
        if not own and not self._known(span, mark, ctx):
            before_end(span, lambda: self._count(span, mark, ctx))

    def _known(self, span: Span, mark: _Mark, ctx: Context) -> bool:
        """Whether `span` is of a call that is seen as one of ours already, which left its span to the framework."""
        call = open_call(ctx)
        ending = call.adopt_span(span) if call is not None and call.name == mark.tool else None
        if ending is None:
            return False
        mark.counted = True
        before_end(span, ending)
        return True

    def _request(self, span: Span, ctx: Context) -> None:
        """`span` is of an MCP client that calls a tool: where that is not known as a call of ours already, it is it."""
        call = open_call(ctx)
        ending = call.adopt_span(span) if call is not None else None
        if ending is not None:
            before_end(span, ending)

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
            usd = price.of(_took(span))
            span.set_attribute(semconv.COST, money.to_float(usd))
        running.tool_used(span, ctx, usd)
        who = attribution.current(ctx, running.attribution, parent_tally)
        tally = rollup.tally_of(span) or parent_tally
        account = SpanAccount(who, ctx, run_context.current(ctx), tally)
        running.recorder.charge_tool_call(account, mark.tool, usd, None, failure(span))


def _tool_of(span: Span, attributes: Mapping[str, Any]) -> str | None:
    """The tool that `span` is a call of; None for any other span."""
    operation = attributes.get(semconv.OPERATION)
    named = span.name.startswith(_PREFIX)
    given = attributes.get(semconv.TOOL)
    if not (
        operation == semconv.EXECUTE_TOOL
        or (operation is None and (named or given is not None))
        or attributes.get(_KIND) == "TOOL"
    ):
        return None
    if span.kind in (SpanKind.SERVER, SpanKind.CONSUMER):
        return None
    tool = str(given or attributes.get(_OPENINFERENCE_NAME) or span.name.removeprefix(_PREFIX))
    return None if tool.startswith("(") else tool  # google-adk's "(merged tools)" stands for calls with spans of theirs


def _never_ran(span: Span) -> bool:
    """Whether pydantic-ai has refused the arguments, or the tool's name: its span is of a call that was not made.

    Older releases tell it by their exception only, which is also that of a tool that asks to be called again; but that
    one has been seen to run.
    """
    if (span.attributes or {}).get(_FAILED_AT) == "validation":
        return True
    return any(str((event.attributes or {}).get("exception.type")).endswith(_REFUSAL) for event in span.events)


def _took(span: Span) -> int:
    return time.time_ns() - (span.start_time or 0)
