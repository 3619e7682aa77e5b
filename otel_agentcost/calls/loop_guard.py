"""The loop guard: looks for loops in each trace, from its conversations and from the spans of its tools.

`LoopGuard.check` runs before each model call. Tool calls that a conversation tells of count from there, once; those
that no conversation tells of (in a loop written by hand, with prompts of one message) count from `tool_used`. One
`TraceLoops` a trace, at most 64 kB each and 512 of them: the traces that were quiet for longest are forgotten. What
goes wrong in here lets the call through.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from decimal import Decimal
from threading import Lock
from typing import Any, Final, Literal, NamedTuple

from opentelemetry.trace import Span

from otel_agentcost.calls import text_similarity
from otel_agentcost.calls.scopes import trace_id_of, trace_key
from otel_agentcost.core import money, semconv
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
from otel_agentcost.telemetry.loop_events import LoopReports
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import Format, ModelRequest, conversation

MAX_TRACES = 512
"""Traces that are watched at once; each takes at most 64 kB, and usually a few."""


class ToolUse(NamedTuple):
    """One call of a tool, as its span shows it."""

    call_id: str | None
    """The model's id of the call."""
    tool: str
    arguments: str
    result: str
    failed: bool


class Detection(NamedTuple):
    """A trace is in a loop."""

    error: LoopDetected
    """What to raise where loops are to be stopped."""
    new: bool
    """Whether the loop counts as another one for circuit breakers, and not as a further round of a counted one."""


class _Trace:
    """One trace: its loops, and its spend in nano-dollars."""

    __slots__ = ("loops", "reported", "spent")

    def __init__(self, thresholds: Thresholds) -> None:
        self.loops = TraceLoops(thresholds)
        self.spent = 0
        self.reported = 0
        """The spend when waste was last counted: no dollar is wasted twice, however many loops there are."""


class LoopGuard:
    """Looks for loops in all traces of this process. Used from any thread."""

    def __init__(
        self,
        thresholds: Thresholds,
        rules: Collection[Rule],
        action: Literal["warn", "block"],
        reports: LoopReports,
        *,
        content: bool,
    ) -> None:
        """Assemble a loop guard.

        Args:
            thresholds: What makes a loop.
            rules: The rules that count.
            action: Whether a call in a loop is blocked.
            reports: Reports loops to telemetry.
            content: Whether spans may hold the arguments and results of tools.
        """
        self.thresholds = thresholds
        self._rules = rules
        self.blocks = action == "block"
        """Whether a call in a loop is blocked."""
        self._reports = reports
        self._content = content
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, request: ModelRequest, record: Record) -> Detection | None:
        """Look for loops before a model call. Returns the worst of the trace's loops; None where there is none."""
        try:
            return self._detect(request, record)
        except Exception as bug:
            report("looking for loops", bug)
            return None

    def _detect(self, request: ModelRequest, record: Record) -> Detection | None:
        trace = self._trace(_key(record))
        loops = trace.loops.before_call(request.format, request.call.body, trace.spent)
        loops = [loop for loop in loops if loop.rule in self._rules]
        if not loops:
            return None
        worst = min(loops, key=lambda loop: loop.since)
        agent = record.attribution.get(semconv.AGENT)
        with self._lock:
            wasted = money.from_nano(max(0, trace.spent - worst.since))
            more = money.from_nano(max(0, trace.spent - max(worst.since, trace.reported)))
            trace.reported = trace.spent
        for loop in loops:
            if loop.first:
                since = money.from_nano(max(0, trace.spent - loop.since))
                self._reports.found(record.span, loop, since, agent=agent, content=self._content)
        self._reports.wasted(record.span, worst, wasted, more, agent=agent)
        new = self.blocks or any(loop.first for loop in loops)
        return Detection(_error(loops[0], wasted, record), new)

    def answered(self, request: ModelRequest, record: Record, response: Any) -> None:
        """Read a whole response, where the next request may leave its tool calls out."""
        try:
            form = request.format
            if response is None or not conversation.is_stored(form, request.call.body):
                return
            self._trace(_key(record)).loops.after_call(form, response)
        except Exception as bug:
            report("reading an answer for loop detection", bug)

    def settled(self, record: Record, usd: Decimal | None) -> None:
        """Count the cost of a call that has ended."""
        if not usd:
            return
        with self._lock:
            trace = self._traces.get(_key(record))
            if trace is not None:
                trace.spent += money.to_nano(usd)

    def tool_used(self, span: Span, used: ToolUse, *, alone: bool) -> None:
        """Take in a tool call that has ended.

        Args:
            span: A span of its trace.
            used: The call.
            alone: Whether the call was made under no span.
        """
        loops = self._trace(trace_key(trace_id_of(span), alone=alone)).loops
        loops.tool_returned(loops.tool_called(used.call_id, used.tool, used.arguments), used.result, error=used.failed)

    def spent(self, span: Span, usd: Decimal, *, alone: bool) -> None:
        """Count the cost of a tool call in the trace of `span`."""
        trace = self._trace(trace_key(trace_id_of(span), alone=alone))
        with self._lock:
            trace.spent += money.to_nano(usd)

    def ended(self, trace_id: str) -> None:
        """Forget a trace that has ended."""
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


def _key(record: Record) -> str:
    return trace_key(trace_id_of(record.span), alone=record.alone)


def _error(loop: Finding, wasted: Decimal, record: Record) -> LoopDetected:
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

_ROOM: Final = 58_000
"""Bytes that a trace may take: conversations that were not heard of for longest are forgotten."""
_TOOLS: Final = 48
_TOOL: Final = 1_050
"""Bytes that a call may take that waits for its result."""
_RESULT: Final = 700
"""Bytes that a result may take that waits for the next model call."""
_KEPT: Final = 512
"""Characters of that result."""
_FEW: Final = 8
"""Requests, or items of one, after which there may be too much."""
_WATCHED: Final = 12_000
"""Bytes that one conversation may take whatever else there is."""


class TraceLoops:
    """The loops of one trace. Thread-safe; keeps at most 64 kB."""

    __slots__ = (
        "_by_spans",
        "_calls",
        "_lock",
        "_reader",
        "_requests",
        "_returned",
        "_similarity",
        "_taken",
        "_thresholds",
        "_told",
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
        """Bytes that the conversations took when that was last looked at."""
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        """By id: tools that run, and calls of which only the results come in a request."""
        self._returned: list[tuple[ToolCall, ToolResult]] = []
        """What tools have brought since the last model call."""
        self._told = False
        """Whether a conversation tells of tools: then what spans tell is known already."""
        self._by_spans: LoopDetector | None = None

    def size(self) -> int:
        """Bytes that it takes, about."""
        watches = [*self._watches.values(), *([self._by_spans] if self._by_spans else [])]
        return self._others() + sum(watch.size() for watch in watches)

    def _others(self) -> int:
        """The same without the conversations."""
        waiting = _TOOL * len(self._calls) + (_TOOL + _RESULT) * len(self._returned)
        return 1_500 + self._reader.size() + waiting

    def before_call(self, form: Format, body: Any, at: int) -> list[Finding]:
        """Before a model call with the request `body`: the loops that the trace is in, the plainest first.

        `at` is whatever the caller counts (the dollars spent up to now, the number of the call), and never falls:
        `Finding.since` is the `at` of the call with which the first round became known.
        """
        with self._lock:
            part = self._reader.read(form, body)
            if part is None:
                return []
            watch = self._watch(part.conversation)
            items = part.items
            if part.tools:
                if not self._told:
                    self._told = True
                    self._returned.clear()
                    self._by_spans = None
                if self._calls:
                    items = self._completed(items)
            watch.feed(items, at)
            self._requests += 1
            if len(self._watches) > 1 or len(items) > _FEW or not self._requests % _FEW:
                self._make_room(watch)
            found = watch.findings()
            return found if found or self._told else self._of_spans(at)

    def after_call(self, form: Format, response: Any) -> None:
        """After a model call: calls of which the next request may only bring the results (`previous_response_id`)."""
        with self._lock:
            for call in conversation.tool_calls(form, response):
                self._remember(call)

    def tool_called(self, id_: str | None, tool: str, arguments: Any) -> ToolCall:
        """A tool begins to run. Give what this returns to `tool_returned`."""
        call = make_tool_call(id_, tool, arguments)
        with self._lock:
            self._remember(call)
        return call

    def tool_returned(self, call: ToolCall, content: str, *, error: bool = False) -> None:
        """A tool has run: it returned `content`, or it raised."""
        with self._lock:
            if not self._told and len(self._returned) < _TOOLS and self._tools_fit():
                self._returned.append((call, ToolResult(None, _excerpt(content), error, call.tool)))

    # --- putting both sources together ---

    def _remember(self, call: ToolCall) -> None:
        if call.id is not None:
            self._calls[call.id] = call
            if len(self._calls) > _TOOLS:
                self._calls.popitem(last=False)
            self._tools_fit()

    def _completed(self, items: list[Item]) -> list[Item]:
        """The items, with the calls that were seen elsewhere before results that come without theirs."""
        told = {item.id for item in items if type(item) is ToolCall}
        whole: list[Item] = []
        for item in items:
            if type(item) is ToolResult and item.id is not None and item.id not in told:
                call = self._calls.pop(item.id, None)
                if call is not None:
                    whole.append(call)
            whole.append(item)
        for id_ in told:
            if id_ is not None:
                self._calls.pop(id_, None)
        return whole

    def _of_spans(self, at: int) -> list[Finding]:
        """The loops in what tools were called with, where no conversation tells of them."""
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
        """Forgets conversations: they are read from their beginning when they are heard of again."""
        room = _ROOM - self._others()
        sizes = {number: watch.size() for number, watch in self._watches.items()}
        taken = sum(sizes.values())
        while taken > room and len(self._watches) > 1:
            oldest, _ = self._watches.popitem(last=False)
            self._reader.forget(oldest)
            taken -= sizes[oldest]
        if taken > room:
            current.fit(max(room, _WATCHED))
            taken = current.size()
        self._taken = taken

    def _tools_fit(self) -> bool:
        """Whether there is room for one more tool that has run; forgets calls that wait for their results for long."""
        while self._calls and self._others() + self._taken > _ROOM:
            self._calls.popitem(last=False)
        return self._others() + self._taken + _TOOL + _RESULT <= _ROOM


def _excerpt(content: str) -> str:
    """What is kept of a result until the next model call: its beginning, and what tells it from others."""
    kept = clip(content, _KEPT)
    return kept if len(kept) == len(content) else f"{kept}#{digest(stable_text(content))}"
