"""One trace, watched for loops: from the conversation that each model call carries, and from the tools' own spans.

`Looping.asked` is called before each model call and says which loops the trace is in. Tool calls that a conversation
tells of count from there, once; those that no conversation tells of (in a loop written by hand, with prompts of one
message) count from `called` and `returned`. Thread-safe; keeps at most 64 kB. Nothing is decided or emitted here.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any, Final

from otel_agentcost.calls import text_similarity
from otel_agentcost.core.loops import (
    Finding,
    Item,
    Thresholds,
    ToolCall,
    ToolResult,
    Watch,
    call_of,
    clip,
    digest,
    essence,
)
from otel_agentcost.wire import Format, conversation

__all__ = ["Finding", "Looping", "Thresholds"]

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


class Looping:
    """The loops of one trace."""

    __slots__ = (
        "_asked",
        "_by_spans",
        "_calls",
        "_lock",
        "_reader",
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
        self._watches: OrderedDict[int, Watch] = OrderedDict()
        self._lock = Lock()
        self._asked = 0
        self._taken = 0
        """Bytes that the conversations took when that was last looked at."""
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        """By id: tools that run, and calls of which only the results come in a request."""
        self._returned: list[tuple[ToolCall, ToolResult]] = []
        """What tools have brought since the last model call."""
        self._told = False
        """Whether a conversation tells of tools: then what spans tell is known already."""
        self._by_spans: Watch | None = None

    def size(self) -> int:
        """Bytes that it takes, about."""
        watches = [*self._watches.values(), *([self._by_spans] if self._by_spans else [])]
        return self._others() + sum(watch.size() for watch in watches)

    def _others(self) -> int:
        """The same without the conversations."""
        waiting = _TOOL * len(self._calls) + (_TOOL + _RESULT) * len(self._returned)
        return 1_500 + self._reader.size() + waiting

    def asked(self, form: Format, body: Any, at: int) -> list[Finding]:
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
            self._asked += 1
            if len(self._watches) > 1 or len(items) > _FEW or not self._asked % _FEW:
                self._make_room(watch)
            found = watch.findings()
            return found if found or self._told else self._of_spans(at)

    def answered(self, form: Format, response: Any) -> None:
        """After a model call: calls of which the next request may only bring the results (`previous_response_id`)."""
        with self._lock:
            for call in conversation.tool_calls(form, response):
                self._remember(call)

    def called(self, id_: str | None, tool: str, arguments: Any) -> ToolCall:
        """A tool begins to run. Give what this returns to `returned`."""
        call = call_of(id_, tool, arguments)
        with self._lock:
            self._remember(call)
        return call

    def returned(self, call: ToolCall, content: str, *, error: bool = False) -> None:
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
            self._by_spans = Watch(self._similarity, self._thresholds)
        items: list[Item] = []
        for call, result in self._returned:
            items += (call, result)
        self._returned.clear()
        self._by_spans.feed(items, at)
        return self._by_spans.findings()

    def _watch(self, conversation: int) -> Watch:
        watch = self._watches.get(conversation)
        if watch is None:
            watch = self._watches[conversation] = Watch(self._similarity, self._thresholds)
        else:
            self._watches.move_to_end(conversation)
        return watch

    def _make_room(self, current: Watch) -> None:
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
    return kept if len(kept) == len(content) else f"{kept}#{digest(essence(content))}"
