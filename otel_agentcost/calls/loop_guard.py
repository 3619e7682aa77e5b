"""The loop guard: detects loops in each trace, from its conversations and from the spans of its tool calls.

`LoopGuard.check` runs before each model call. Tool calls that are in the conversation count from there, once. Tool
calls that are in no conversation (an agent loop without a framework, with prompts of one message) count from
`tool_used`. Each trace has one `TraceLoops` of at most 64 kB. At most 512 traces are kept: the least recently used one
is removed. An error in this module is logged, and the call is made.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from decimal import Decimal
from threading import Lock
from typing import Any, Final, Literal, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_agentcost.calls import text_similarity
from otel_agentcost.calls.scopes import trace_id_of
from otel_agentcost.calls.work import Work
from otel_agentcost.core import money, semconv
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.loops import (
    Finding,
    Item,
    LoopDetector,
    Rule,
    Thresholds,
    ToolCall,
    ToolResult,
    clip,
    digest,
    make_tool_call,
    stable_text,
)
from otel_agentcost.diagnostics import report
from otel_agentcost.errors import LoopDetected
from otel_agentcost.guard import forks
from otel_agentcost.telemetry.loop_events import LoopReports
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import Format, ModelRequest, conversation

MAX_TRACES = 512
"""The number of traces that are kept. Each takes at most 64 kB, and usually a few kB."""


class ToolUse(NamedTuple):
    """One tool call that has ended."""

    call_id: str | None
    """The id that the model gave the call."""
    tool: str
    arguments: str
    result: str
    failed: bool


class Detection(NamedTuple):
    """A trace is in a loop."""

    error: LoopDetected
    """The exception to raise if loops are blocked."""
    new: bool
    """True if circuit breakers count the loop as a new one; False for a further round of a counted loop."""


class _Trace:
    """One trace: its loops, and its spend in nano-dollars."""

    __slots__ = ("loops", "reported", "spent", "unpriced")

    def __init__(self, thresholds: Thresholds) -> None:
        self.loops = TraceLoops(thresholds)
        self.spent = 0
        self.reported = 0
        """The spend when waste was last reported, so that no dollar is reported as wasted twice."""
        self.unpriced = False
        """True if the cost of a call is unknown in whole or in part: the spend is then a lower bound."""

    def spent_since(self, since: int) -> Decimal | None:
        """Return the US dollars spent since a spend of `since` nano-dollars; None instead of a lower bound of zero."""
        nano = max(0, self.spent - since)
        return money.from_nano(nano) if nano or not self.unpriced else None


class LoopGuard:
    """Detects loops in all traces of this process. Thread-safe."""

    def __init__(
        self,
        thresholds: Thresholds,
        rules: Collection[Rule],
        action: Literal["warn", "block"],
        reports: LoopReports,
        work: Work,
        *,
        content: bool,
    ) -> None:
        """Assemble a loop guard.

        Args:
            thresholds: The loop-detection thresholds.
            rules: The enabled rules.
            action: `block` to block calls in a loop, or `warn`.
            reports: Reports loops to telemetry.
            work: Names the traces of calls.
            content: True if spans may have the arguments and results of tools.
        """
        self.thresholds = thresholds
        self._rules = rules
        self.blocks = action == "block"
        """True if calls in a loop are blocked."""
        self._reports = reports
        self._work = work
        self._content = content
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the locks, which threads of the parent may hold."""
        self._lock = threading.Lock()
        for trace in self._traces.values():
            trace.loops.after_fork()

    def check(self, request: ModelRequest, record: Record) -> Detection | None:
        """Return the worst loop of the trace before a model call; None if there is none."""
        try:
            return self._detect(request, record)
        except Exception as bug:
            report("looking for loops", bug)
            return None

    def _detect(self, request: ModelRequest, record: Record) -> Detection | None:
        trace = self._trace(self._work.trace_of(record))
        loops = trace.loops.before_call(request.format, request.call.body, trace.spent)
        loops = [loop for loop in loops if loop.rule in self._rules]
        if not loops:
            return None
        worst = min(loops, key=lambda loop: loop.since)
        agent = record.attribution.get(semconv.AGENT)
        with self._lock:
            wasted = trace.spent_since(worst.since)
            more = money.from_nano(max(0, trace.spent - max(worst.since, trace.reported)))
            trace.reported = trace.spent
        for loop in loops:
            if loop.first:
                since = trace.spent_since(loop.since)
                self._reports.found(record.span, loop, since, agent=agent, content=self._content)
        if wasted is not None:
            self._reports.wasted(record.span, worst, wasted, more, agent=agent)
        new = self.blocks or any(loop.first for loop in loops)
        return Detection(_error(loops[0], wasted, record), new)

    def answered(self, request: ModelRequest, record: Record, response: Any) -> None:
        """Read the tool calls of a whole response, if the next request may not repeat them (`previous_response_id`)."""
        try:
            form = request.format
            if response is None or not conversation.is_stored(form, request.call.body):
                return
            self._trace(self._work.trace_of(record)).loops.after_call(form, response)
        except Exception as bug:
            report("reading an answer for loop detection", bug)

    def settled(self, record: Record, cost: Cost) -> None:
        """Count the cost of a call that has ended."""
        if not cost.usd and cost.unpriced is None:
            return
        with self._lock:
            trace = self._traces.get(self._work.trace_of(record))
            if trace is not None:
                trace.spent += money.to_nano(cost.usd or money.ZERO)
                trace.unpriced = trace.unpriced or cost.unpriced is not None

    def tool_used(self, span: Span, used: ToolUse, ctx: Context, *, alone: bool) -> None:
        """Add a tool call that has ended.

        Args:
            span: A span of its trace.
            used: The call.
            ctx: The context that the tool was called in.
            alone: True if the call has no parent span.
        """
        loops = self._trace(self._work.trace(trace_id_of(span), ctx, alone=alone)).loops
        loops.tool_returned(loops.tool_called(used.call_id, used.tool, used.arguments), used.result, error=used.failed)

    def spent(self, span: Span, usd: Decimal, ctx: Context, *, alone: bool) -> None:
        """Count the cost of a tool call in the trace of `span`."""
        trace = self._trace(self._work.trace(trace_id_of(span), ctx, alone=alone))
        with self._lock:
            trace.spent += money.to_nano(usd)

    def ended(self, trace_id: str) -> None:
        """Remove a trace that has ended."""
        with self._lock:
            self._traces.pop(trace_id, None)

    def _trace(self, key: str) -> _Trace:
        with self._lock:
            trace = self._traces.get(key)
            if trace is None:
                trace = self._traces[key] = _Trace(self.thresholds)
                if len(self._traces) > MAX_TRACES:
                    self._traces.popitem(last=False)
            else:
                self._traces.move_to_end(key)
            return trace


def _error(loop: Finding, wasted: Decimal | None, record: Record) -> LoopDetected:
    recorded = record.span.get_span_context().is_valid
    return LoopDetected(
        rule=loop.rule,
        repeats=loop.repeats,
        tool=loop.tool,
        arguments=loop.arguments,
        result=loop.result,
        wasted_usd=wasted,
        trace_id=trace_id_of(record.span) if recorded else None,
    )


# --- One trace ---

_MAX_TRACE_BYTES: Final = 58_000
"""The memory of a trace in bytes. Beyond it, the least recently used conversations are removed."""
_MAX_TOOL_CALLS: Final = 48
"""The number of tool calls that are kept outside of conversations."""
_TOOL_CALL_BYTES: Final = 1_050
"""The largest size in bytes of a tool call that waits for its result."""
_RESULT_BYTES: Final = 700
"""The largest size in bytes of a result that waits for the next model call."""
_RESULT_CHARACTERS: Final = 512
"""The number of characters kept of such a result."""
_CHECK_INTERVAL: Final = 8
"""The size is checked after this number of requests, or of items in one request."""
_MIN_CONVERSATION_BYTES: Final = 12_000
"""The memory in bytes that the current conversation always gets."""


class TraceLoops:
    """The loops of one trace. Thread-safe; keeps at most 64 kB."""

    __slots__ = (
        "_by_spans",
        "_calls",
        "_in_conversation",
        "_lock",
        "_reader",
        "_requests",
        "_returned",
        "_similarity",
        "_taken",
        "_thresholds",
        "_watches",
    )

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._similarity = text_similarity.compared
        self._thresholds = thresholds or Thresholds()
        self._reader = conversation.Reader()
        self._watches: OrderedDict[int, LoopDetector] = OrderedDict()
        self._lock = Lock()
        self._requests = 0
        self._taken = 0
        """The size of the conversations in bytes at the last check."""
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        """By id: running tool calls, and calls whose results appear in a request without the calls."""
        self._returned: list[tuple[ToolCall, ToolResult]] = []
        """Tool calls that have ended since the last model call, with their results."""
        self._in_conversation = False
        """True if a conversation contains tool calls: those from spans are then duplicates."""
        self._by_spans: LoopDetector | None = None

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = Lock()

    def size(self) -> int:
        """Return the approximate size in bytes."""
        watches = [*self._watches.values(), *([self._by_spans] if self._by_spans else [])]
        return self._size_without_conversations() + sum(watch.size() for watch in watches)

    def _size_without_conversations(self) -> int:
        waiting = _TOOL_CALL_BYTES * len(self._calls) + (_TOOL_CALL_BYTES + _RESULT_BYTES) * len(self._returned)
        return 1_500 + self._reader.size() + waiting

    def before_call(self, form: Format, body: Any, at: int) -> list[Finding]:
        """Return the loops of the trace before a model call, the clearest one first.

        Args:
            form: The wire format.
            body: The request body.
            at: A counter that never falls, such as the nano-dollars spent so far. `Finding.since` is its value at the
                call in which the first round of the loop appeared.
        """
        with self._lock:
            part = self._reader.read(form, body)
            if part is None:
                return []
            watch = self._watch(part.conversation)
            items = part.items
            if part.tools:
                if not self._in_conversation:
                    self._in_conversation = True
                    self._returned.clear()
                    self._by_spans = None
                if self._calls:
                    items = self._completed(items)
            watch.feed(items, at)
            self._requests += 1
            if len(self._watches) > 1 or len(items) > _CHECK_INTERVAL or not self._requests % _CHECK_INTERVAL:
                self._make_room(watch)
            found = watch.findings()
            return found if found or self._in_conversation else self._of_spans(at)

    def after_call(self, form: Format, response: Any) -> None:
        """Keep the tool calls of a response: the next request may have only their results (`previous_response_id`)."""
        with self._lock:
            for call in conversation.tool_calls(form, response):
                self._remember(call)

    def tool_called(self, id_: str | None, tool: str, arguments: Any) -> ToolCall:
        """Add a tool call that starts. Pass the returned call to `tool_returned`."""
        call = make_tool_call(id_, tool, arguments)
        with self._lock:
            self._remember(call)
        return call

    def tool_returned(self, call: ToolCall, content: str, *, error: bool = False) -> None:
        """Add the result of a tool call. `error` is True if the call failed."""
        with self._lock:
            if not self._in_conversation and len(self._returned) < _MAX_TOOL_CALLS and self._tools_fit():
                self._returned.append((call, ToolResult(None, _excerpt(content), error, call.tool)))

    # --- combining both sources ---

    def _remember(self, call: ToolCall) -> None:
        if call.id is not None:
            self._calls[call.id] = call
            if len(self._calls) > _MAX_TOOL_CALLS:
                self._calls.popitem(last=False)
            self._tools_fit()

    def _completed(self, items: list[Item]) -> list[Item]:
        """Return the items, with the kept calls inserted before results that have no call in the request."""
        present = {item.id for item in items if type(item) is ToolCall}
        completed: list[Item] = []
        for item in items:
            if type(item) is ToolResult and item.id is not None and item.id not in present:
                call = self._calls.pop(item.id, None)
                if call is not None:
                    completed.append(call)
            completed.append(item)
        for id_ in present:
            if id_ is not None:
                self._calls.pop(id_, None)
        return completed

    def _of_spans(self, at: int) -> list[Finding]:
        """Return the loops in tool calls from spans, if no conversation contains tool calls."""
        if self._by_spans is None:
            if not self._returned:
                return []
            self._by_spans = LoopDetector(self._similarity, self._thresholds)
        items: list[Item] = []
        for call, result in self._returned:
            items += (call, result)
        self._returned.clear()
        self._by_spans.feed(items, at)
        return self._by_spans.findings()

    def _watch(self, conversation: int) -> LoopDetector:
        watch = self._watches.get(conversation)
        if watch is None:
            watch = self._watches[conversation] = LoopDetector(self._similarity, self._thresholds)
        else:
            self._watches.move_to_end(conversation)
        return watch

    def _make_room(self, current: LoopDetector) -> None:
        """Remove conversations that exceed the memory limit. One that continues later is read from its start again."""
        room = _MAX_TRACE_BYTES - self._size_without_conversations()
        sizes = {number: watch.size() for number, watch in self._watches.items()}
        taken = sum(sizes.values())
        while taken > room and len(self._watches) > 1:
            oldest, _ = self._watches.popitem(last=False)
            self._reader.forget(oldest)
            taken -= sizes[oldest]
        if taken > room:
            current.fit(max(room, _MIN_CONVERSATION_BYTES))
            taken = current.size()
        self._taken = taken

    def _tools_fit(self) -> bool:
        """Return True if one more result fits. Remove the oldest calls that wait for their results, if needed."""
        while self._calls and self._size_without_conversations() + self._taken > _MAX_TRACE_BYTES:
            self._calls.popitem(last=False)
        return self._size_without_conversations() + self._taken + _TOOL_CALL_BYTES + _RESULT_BYTES <= _MAX_TRACE_BYTES


def _excerpt(content: str) -> str:
    """Return the beginning of a result, with a digest of the whole text if it is longer."""
    kept = clip(content, _RESULT_CHARACTERS)
    return kept if len(kept) == len(content) else f"{kept}#{digest(stable_text(content))}"
