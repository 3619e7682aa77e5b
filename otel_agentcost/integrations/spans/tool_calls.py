"""Tool call spans of frameworks (pydantic-ai, google-adk), MCP and other instrumentations: each call is counted once.

A call may have several spans: of the framework, of the MCP client, of other instrumentations, of this package. They may
be nested or lie side by side, because some instrumentations do not make their spans current. Spans are of one call if
they are open at the same time in the same running code, have the same tool's name, and have no different call ids. A
span of this package counts the call, because it has more information; without one, the outermost span counts it. Spans
of servers do not count: their client has a span of the same call. Called by `processor.py`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from decimal import Decimal
from functools import partial
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind

from otel_agentcost.calls import active
from otel_agentcost.calls.active import Instrumentation
from otel_agentcost.calls.tool_call import TOOL_MARK, ToolCall, is_same_name, open_call
from otel_agentcost.core import aliases, money, semconv
from otel_agentcost.integrations.spans.sources import failure
from otel_agentcost.telemetry import agent_spans, attribution, blocks, open_spans, rollup, run_context
from otel_agentcost.telemetry.adoption import unwrapped
from otel_agentcost.telemetry.held_span import before_end
from otel_agentcost.telemetry.recorder import SpanAccount

_OWN: Final = "otel_agentcost"
_KIND: Final = "openinference.span.kind"
_CALL: Final = "tools/call"
_FAILED_AT: Final = "pydantic_ai.tool.failure_stage"
_REFUSAL: Final = "pydantic_ai.exceptions.ToolRetryError"
_PREFIX: Final = f"{semconv.EXECUTE_TOOL} "
_TOOLS: Final = "_agentcost_tools"
_MOST_OPEN: Final = 64
"""The number of tool spans before this one that are searched for a span of the same call."""

_latest: ContextVar[weakref.ref[Span] | None] = ContextVar("agentcost_latest_tool_span", default=None)
"""The last tool span of another instrumentation that started in this context and is to be counted."""

_own: ContextVar[tuple[weakref.ref[Span], ...]] = ContextVar("agentcost_own_tool_spans", default=())
"""The tool spans of this package that started in this context, the last one first. A call that the program of an SDK
reports is open in here while the application reads what the program says, and its span is not current then.
"""


class _Mark:
    """One tool call, referenced by its span and by the spans inside it."""

    __slots__ = ("before", "call", "call_id", "counted", "inside", "scope", "tool")

    def __init__(self, tool: str, call_id: object, scope: str, *, counted: bool) -> None:
        self.tool = tool
        self.call_id = call_id
        """The id that the model gave the call, if the span has it."""
        self.scope = scope
        """The name of the instrumentation that made the span."""
        self.counted = counted
        """True if another span counts the call: one of this package, or of another instrumentation."""
        self.call: ToolCall | None = None
        """The `ToolCall` for the same call inside the span, which has more information."""
        self.inside: list[str] = []
        """The tools of other names that this package counted inside the span, which may get its tool's name later."""
        self.before: weakref.ref[Span] | None = None
        """The tool span that started before this one in the same context."""

    def is_of(self, tool: str, call_id: object) -> bool:
        """Return True if another span is of the same call. One with another id is a call within the call."""
        return is_same_name(self.tool, tool) and (call_id is None or self.call_id in (None, call_id))


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
            call = open_call(ctx) or open_call(None)
            if call is not None and call.is_open and agent_spans.mentions(span.name, call.name):
                _watch_name(span, call.name)
            if outer is not None and attributes.get(semconv.OPERATION) not in semconv.AGENT_OPERATIONS:
                setattr(span, TOOL_MARK, outer)
            return
        scope = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
        call_id = attributes.get(semconv.TOOL_CALL_ID)
        if outer is not None and outer.is_of(tool, call_id):
            setattr(span, TOOL_MARK, outer)
            if scope == _OWN:
                outer.counted = True
            else:
                span.set_attribute(semconv.DUPLICATE, True)
            return
        mark = _Mark(tool, call_id, scope, counted=scope == _OWN)
        setattr(span, TOOL_MARK, mark)
        if scope == _OWN:
            _own.set((weakref.ref(span), *[each for each in _own.get() if _open(each) is not None][: _MOST_OPEN - 1]))
            _tell_open_spans(mark, outer)
            _watch_names(unwrapped(parent), tool)
        elif not self._adopt_framework_span(span, mark, ctx):
            self._count_at_end(span, mark, ctx)

    def _count_at_end(self, span: Span, mark: _Mark, ctx: Context) -> None:
        """Count the call of `span` when it ends, unless an open call, or an open span, is the same call."""
        call = open_call(ctx) or open_call(None)
        others = (each for each in (*_own_marks(), *_open_marks()) if each.scope != mark.scope)
        if (call is not None and call.is_shown_by(mark.tool, mark.call_id)) or any(
            each.is_of(mark.tool, mark.call_id) for each in others
        ):
            mark.counted = True
            span.set_attribute(semconv.DUPLICATE, True)
            return
        mark.before = _latest.get()
        _latest.set(weakref.ref(span))
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
        if not active.is_active(running):
            return
        named = _named(span.attributes or {})
        if mark.counted or any(named is None or is_same_name(named, each) for each in mark.inside):
            span.set_attribute(semconv.DUPLICATE, True)
            return
        mark.counted = True
        call, mark.call = mark.call, None
        if call is not None:
            call.settle_on(span, running, ctx)
            return
        if _never_ran(span):
            return
        tool = named or mark.tool
        price = running.tool_prices.find(tool)
        usd: Decimal | None = None
        parent_tally = rollup.tally_of(trace.get_current_span(ctx))
        if price is not None:
            usd = price.of(_nanoseconds(span))
            span.set_attribute(semconv.COST, money.to_float(usd))
        running.tool_used(span, ctx, usd)
        attributed = attribution.current(ctx, running.attribution, parent_tally)
        present: Mapping[str, Any] = span.attributes or {}
        span.set_attributes({name: value for name, value in attributed.items() if name not in present})
        tally = rollup.tally_of(span) or parent_tally
        account = SpanAccount(attributed, ctx, run_context.current(ctx), tally, span)
        running.recorder.charge_tool_call(account, tool, usd, None, failure(span))


def _open_marks() -> Iterator[_Mark]:
    """Yield the marks of the tool spans that started in this context and are open, the last one first.

    Each of them is to be counted, and no other span counts it so far.
    """
    reference = _latest.get()
    for _ in range(_MOST_OPEN):
        span = reference() if reference is not None else None
        if span is None:
            return
        mark: _Mark = getattr(span, TOOL_MARK)
        if span.is_recording() and not mark.counted:
            yield mark
        reference = mark.before


def _own_marks() -> Iterator[_Mark]:
    """Yield the marks of the tool spans of this package that started in this context and are open."""
    for reference in _own.get():
        if (span := _open(reference)) is not None:
            mark: _Mark = getattr(span, TOOL_MARK)
            yield mark


def _open(reference: weakref.ref[Span]) -> Span | None:
    span = reference()
    return span if span is not None and span.is_recording() else None


def _tell_open_spans(own: _Mark, outer: _Mark | None) -> None:
    """Let the open spans of the call that a span of this package counts know that: one of each instrumentation.

    Args:
        own: The mark of the span of this package.
        outer: The mark of the enclosing tool span, which is of another name.
    """
    told: set[str] = set()
    for mark in _open_marks():
        if mark.scope not in told and mark is not outer and mark.is_of(own.tool, own.call_id):
            told.add(mark.scope)
            mark.counted = True
    if outer is not None and outer.scope != _OWN:
        outer.inside.append(own.tool)


def _watch_names(parent: Any, tool: str) -> None:
    """Watch the open spans of other code that may turn out to be of `tool`, a call of which has just started."""
    beside = (span for span in open_spans.latest() if agent_spans.mentions(span.name, tool))
    for span in (parent, *beside):
        if agent_spans.is_foreign(span) and getattr(span, TOOL_MARK, None) is None:
            _watch_name(span, tool)


def _watch_name(span: Span, tool: str) -> None:
    """Mark `span` at its end if it says by then that it is of `tool`, whose call a span of this package counts.

    Some instrumentations set all attributes after the start of their span, or at its end.
    """
    tools: set[str] | None = getattr(span, _TOOLS, None)
    if tools is None:
        tools = set()
        setattr(span, _TOOLS, tools)
        before_end(span, partial(_mark_if_of, span, tools))
    tools.add(tool)


def _mark_if_of(span: Span, tools: set[str]) -> None:
    tool = _tool_of(span, span.attributes or {})
    if tool is not None and any(is_same_name(tool, each) for each in tools):
        span.set_attribute(semconv.DUPLICATE, True)


def _named(attributes: Mapping[str, Any]) -> str | None:
    """Return the name of the tool, if the attributes have it."""
    name = next((attributes[key] for key in aliases.TOOL_NAME if attributes.get(key)), None)
    return str(name) if name is not None else None


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
    tool = _named(attributes) or span.name.removeprefix(_PREFIX)
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
