"""Message content of Anthropic's Messages API, for content capture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_agentcost.wire.content import parts_of, tool_definition
from otel_agentcost.wire.fields import fields, get, items, text
from otel_agentcost.wire.format import Message, Part
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["CONTENT"]


class _MessagesContent:
    """The facet."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        """Return the `system` prompt of a request."""
        return parts_of(get(body, "system"))

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Yield the tools that a request offers."""
        return map(tool_definition, items(body, "tools"))

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the messages of a request."""
        for message in items(body, "messages"):
            yield {"role": get(message, "role"), "parts": parts_of(get(message, "content"))}

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield the one message of a response."""
        if parts := parts_of(get(response, "content")):
            yield {"role": "assistant", "parts": parts, "finish_reason": get(response, "stop_reason")}

    def transcript(self) -> _Blocks:
        """Return a new collector for events."""
        return _Blocks()


class _Block:
    """One block of a message."""

    __slots__ = ("pieces", "started")

    def __init__(self, started: Any) -> None:
        self.started = started
        self.pieces: dict[str, Pieces] = {}

    def whole(self) -> Any:
        if not self.pieces:
            return self.started
        joined = {kind: "".join(pieces) for kind, pieces in self.pieces.items()}
        known = {name: get(self.started, name) for name in ("type", "id", "name", "tool_use_id")}
        return {**known, "input": joined.get("partial_json"), **joined}


class _Blocks:
    """Collects events into the blocks of one message."""

    __slots__ = ("_blocks", "_reason", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._blocks: dict[int, _Block] = {}
        self._reason: str | None = None

    def feed(self, event: Any) -> None:
        """Read one event."""
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
            delta = fields(started if started is not None else get(event, "delta"))
            for name in ("text", "thinking", "partial_json"):
                if words := text(delta, name):
                    self._room.keep(block.pieces.setdefault(name, []), words)

    def response(self) -> Any:
        """Return the events up to now as one response."""
        return {"content": [block.whole() for _, block in sorted(self._blocks.items())], "stop_reason": self._reason}


CONTENT: Final = _MessagesContent()
