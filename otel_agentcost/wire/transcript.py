"""What a stream has said so far, put together into one response, so that `content` can write it down.

One class a format: `feed` takes in its events (dicts, SDK objects, google-genai's chunks of JSON text), `response`
gives what they amount to, also when the stream broke off. Used only where message content is asked for. Nothing
here raises on what it reads, and a transcript ends at `MOST` characters, which its last words then say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from otel_agentcost.wire.fields import fields, get, items, text

MOST = 4 * 1024 * 1024
"""Characters of one answer that are kept."""
CUT = " [cut off here: the answer is too long to be recorded]"
_ENTRY = 64
"""What a choice, a block or a tool call takes of that, however little it says."""

Pieces = list[str]


class Transcript:
    """One answer, as it comes, in the format called `form`."""

    __slots__ = ("_said",)

    def __init__(self, form: str) -> None:
        kind = _KINDS.get(form)
        self._said = kind() if kind is not None else None

    def feed(self, event: Any) -> None:
        """Takes in one event."""
        if self._said is not None:
            with suppress(Exception):  # content is a courtesy: an event that makes no sense has none
                self._said.feed(event)

    def response(self) -> Any:
        """What the events so far amount to, in the shape of a whole response; None where they say nothing."""
        with suppress(Exception):
            return self._said.response() if self._said is not None else None
        return None


class _Said(Protocol):
    """What the stream of one format said so far."""

    def feed(self, event: Any, /) -> None: ...

    def response(self) -> Any: ...


class _Room:
    """How much may still be kept."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST

    def keep(self, pieces: Pieces, words: Any) -> None:
        """Appends `words` to `pieces`, or as much of them as there is room for."""
        if not isinstance(words, str) or not words or self._left <= 0:
            return
        pieces.append(words if len(words) <= self._left else words[: self._left] + CUT)
        self._left -= len(words)

    def entry(self, size: int = 0) -> bool:
        """Whether there is room for one more choice, block or tool call (of `size` characters)."""
        self._left -= _ENTRY + size
        return self._left > 0


class _ToolCall:
    """A tool call of a chat: its name and arguments come in pieces."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name: Pieces = []
        self.arguments: Pieces = []

    def whole(self) -> Mapping[str, Any]:
        return {"id": self.id, "function": {"name": "".join(self.name), "arguments": "".join(self.arguments)}}


class _Choice:
    """One of the answers of a chat."""

    __slots__ = ("_by_index", "_room", "calls", "content", "finish_reason", "reasoning", "refusal", "role", "said")

    def __init__(self, room: _Room) -> None:
        self._room = room
        self.role = "assistant"
        self.finish_reason: str | None = None
        self.said: Pieces = []
        """Of a legacy completion."""
        self.content: Pieces = []
        self.refusal: Pieces = []
        self.reasoning: Pieces = []
        self.calls: list[_ToolCall] = []
        self._by_index: dict[int | None, _ToolCall] = {}

    def feed(self, choice: Any) -> None:
        keep, choice = self._room.keep, fields(choice)
        delta = fields(get(choice, "delta"))
        self.finish_reason = text(choice, "finish_reason") or self.finish_reason
        self.role = text(delta, "role") or self.role
        keep(self.said, get(choice, "text"))
        keep(self.content, get(delta, "content"))
        for block in items(delta, "content"):
            keep(self.content, get(block, "text"))
        keep(self.content, get(get(delta, "audio"), "transcript"))
        keep(self.refusal, get(delta, "refusal"))
        keep(self.reasoning, text(delta, "reasoning_content") or text(delta, "reasoning"))
        for call in items(delta, "tool_calls"):
            self._call(call, get(call, "function") or get(call, "custom"))
        if (function := get(delta, "function_call")) is not None:
            self._call(delta, function)

    def _call(self, delta: Any, function: Any) -> None:
        index, id_ = get(delta, "index"), text(delta, "id")
        index = index if type(index) is int else None
        call = self._by_index.get(index)
        if call is None or (id_ is not None and call.id is not None and id_ != call.id):  # some give each the index 0
            if not self._room.entry():
                return
            call = self._by_index[index] = _ToolCall()
            self.calls.append(call)
        call.id = call.id or id_
        self._room.keep(call.name, get(function, "name"))
        self._room.keep(call.arguments, text(function, "arguments") or text(function, "input"))

    def whole(self) -> Mapping[str, Any]:
        message = {
            "role": self.role,
            "content": "".join(self.content),
            "refusal": "".join(self.refusal),
            "reasoning_content": "".join(self.reasoning),
            "tool_calls": [call.whole() for call in self.calls],
        }
        return {"finish_reason": self.finish_reason, "message": message, "text": "".join(self.said)}


class _Choices:
    """Chat completions, and legacy completions."""

    __slots__ = ("_choices", "_room")

    def __init__(self) -> None:
        self._room = _Room()
        self._choices: dict[int, _Choice] = {}

    def feed(self, event: Any) -> None:
        for choice in items(event, "choices"):
            index = get(choice, "index")
            index = index if type(index) is int else 0
            if index not in self._choices and self._room.entry():
                self._choices[index] = _Choice(self._room)
            if index in self._choices:
                self._choices[index].feed(choice)

    def response(self) -> Any:
        return {"choices": [choice.whole() for _, choice in sorted(self._choices.items())]}


_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_DELTAS: Final = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.reasoning_summary_text.delta": "summary",
}


class _Item:
    """One item of a response's output, until it is done."""

    __slots__ = ("done", "pieces", "started")

    def __init__(self, started: Any) -> None:
        self.started = started
        self.done: Any = None
        self.pieces: dict[str, Pieces] = {}

    def whole(self) -> Any:
        if self.done is not None:
            return self.done
        said = {kind: "".join(pieces) for kind, pieces in self.pieces.items()}
        names = ("type", "role", "id", "call_id", "name")
        item = {name: get(self.started, name) for name in names} | {"arguments": said.get("arguments")}
        item["content"] = [{"type": "output_text", "text": said.get("text", "")}]
        item["summary"] = [{"type": "summary_text", "text": said.get("summary", "")}]
        return item | {"role": item["role"] or "assistant"}


class _Output:
    """Responses: the last event has all of it; until then there are the items."""

    __slots__ = ("_ended", "_items", "_room")

    def __init__(self) -> None:
        self._room = _Room()
        self._items: dict[int, _Item] = {}
        self._ended: Any = None

    def feed(self, event: Any) -> None:
        kind = text(event, "type") or ""
        if kind in _ENDS:
            self._ended = get(event, "response")
            return
        added = kind == "response.output_item.added"
        if not added and kind != "response.output_item.done" and kind not in _DELTAS:
            return
        index = get(event, "output_index")
        index = index if type(index) is int else 0
        if index not in self._items and self._room.entry():
            self._items[index] = _Item(get(event, "item"))
        item = self._items.get(index)
        if item is None or added:
            return
        if kind in _DELTAS:
            self._room.keep(item.pieces.setdefault(_DELTAS[kind], []), get(event, "delta"))
        else:
            item.done = get(event, "item")

    def response(self) -> Any:
        if self._ended is not None:
            return self._ended
        return {"status": "in_progress", "output": [item.whole() for _, item in sorted(self._items.items())]}


class _Block:
    """One block of a message."""

    __slots__ = ("pieces", "started")

    def __init__(self, started: Any) -> None:
        self.started = started
        self.pieces: dict[str, Pieces] = {}

    def whole(self) -> Any:
        if not self.pieces:
            return self.started
        said = {kind: "".join(pieces) for kind, pieces in self.pieces.items()}
        known = {name: get(self.started, name) for name in ("type", "id", "name", "tool_use_id")}
        return {**known, "input": said.get("partial_json"), **said}


class _Message:
    """Anthropic's messages."""

    __slots__ = ("_blocks", "_reason", "_room")

    def __init__(self) -> None:
        self._room = _Room()
        self._blocks: dict[int, _Block] = {}
        self._reason: str | None = None

    def feed(self, event: Any) -> None:
        kind = text(event, "type")
        if kind == "message_delta":
            self._reason = text(get(event, "delta"), "stop_reason") or self._reason
        if kind not in ("content_block_start", "content_block_delta"):
            return
        index, started = get(event, "index"), get(event, "content_block")
        index = index if type(index) is int else 0
        if index not in self._blocks and self._room.entry():
            self._blocks[index] = _Block(started if started is not None else {"type": "text"})
        if index in self._blocks:
            block = self._blocks[index]
            said = fields(started if started is not None else get(event, "delta"))
            for name in ("text", "thinking", "partial_json"):
                if words := text(said, name):
                    self._room.keep(block.pieces.setdefault(name, []), words)

    def response(self) -> Any:
        return {"content": [block.whole() for _, block in sorted(self._blocks.items())], "stop_reason": self._reason}


class _Candidate:
    """One of the answers of Gemini."""

    __slots__ = ("_room", "parts", "reason")

    def __init__(self, room: _Room) -> None:
        self._room = room
        self.reason: Any = None
        self.parts: list[tuple[Any, Pieces | None]] = []
        """A part, and its words where it has any: they go on in the next chunk."""

    def feed(self, candidate: Any) -> None:
        reason = get(candidate, "finishReason")
        reason = get(candidate, "finish_reason") if reason is None else reason
        self.reason = self.reason if reason is None else reason
        for part in items(get(candidate, "content"), "parts"):
            words = text(part, "text")
            if words is None:
                self._other(part)
                continue
            thought = get(part, "thought") is True
            last, pieces = self.parts[-1] if self.parts else (None, None)
            if pieces is None or last != {"thought": thought}:
                if not self._room.entry():
                    return
                pieces = Pieces()
                self.parts.append(({"thought": thought}, pieces))
            self._room.keep(pieces, words)

    def _other(self, part: Any) -> None:
        """A tool call, or a picture, of which only the kind is kept."""
        data = get(part, "inlineData")
        kept = part if data is None else {"inlineData": {"mimeType": get(data, "mimeType")}}
        if self._room.entry(len(str(kept))):
            self.parts.append((kept, None))

    def whole(self) -> Mapping[str, Any]:
        parts = [part if words is None else {**part, "text": "".join(words)} for part, words in self.parts]
        return {"content": {"role": "model", "parts": parts}, "finishReason": self.reason}


class _Candidates:
    """Gemini: google-genai passes on chunks as JSON text, and their content is in no other place."""

    __slots__ = ("_candidates", "_room")

    def __init__(self) -> None:
        self._room = _Room()
        self._candidates: dict[int, _Candidate] = {}

    def feed(self, event: Any) -> None:
        body = text(event, "body")
        chunk = json.loads(body) if body is not None else event
        for candidate in items(chunk, "candidates"):
            index = get(candidate, "index")
            index = index if type(index) is int else 0
            if index not in self._candidates and self._room.entry():
                self._candidates[index] = _Candidate(self._room)
            if index in self._candidates:
                self._candidates[index].feed(candidate)

    def response(self) -> Any:
        return {"candidates": [candidate.whole() for _, candidate in sorted(self._candidates.items())]}


_KINDS: Final[Mapping[str, Callable[[], _Said]]] = {
    "openai_chat": _Choices,
    "openai_completions": _Choices,
    "openai_responses": _Output,
    "anthropic_messages": _Message,
    "gemini": _Candidates,
}
