"""Message content of the Responses API, for content capture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_agentcost.wire.content import parts_of, reasoning, tool_call, tool_definition, tool_response
from otel_agentcost.wire.fields import get, items, text
from otel_agentcost.wire.format import Message, Part
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["CONTENT"]


class _ResponsesContent:
    """The facet."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        """Return the `instructions` of a request."""
        return parts_of(get(body, "instructions"))

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Yield the tools that a request offers."""
        return map(tool_definition, items(body, "tools"))

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield one message per input item; a text as input is one message of the user."""
        prompt = get(body, "input")
        if isinstance(prompt, str):
            yield {"role": "user", "parts": parts_of(prompt)}
        for item in items(body, "input"):
            if (message := _item(item)) is not None:
                yield message

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield one message of the assistant with all output items: one response is one answer."""
        messages = [message for item in items(response, "output") if (message := _item(item)) is not None]
        parts = [part for message in messages for part in message["parts"]]
        if parts:
            calls = any(part["type"] == "tool_call" for part in parts)
            status = text(response, "status")
            reason = ("tool_calls" if calls else "stop") if status in (None, "completed") else status
            yield {"role": "assistant", "parts": parts, "finish_reason": reason}

    def transcript(self) -> _Output:
        """Return a new collector for events."""
        return _Output()


def _item(item: Any) -> Message | None:
    """Return the message for an input or output item: a message, a tool call, a tool result, or reasoning."""
    kind = text(item, "type") or "message"
    if kind in ("function_call", "custom_tool_call"):
        arguments = get(item, "arguments")
        part = tool_call(get(item, "call_id"), get(item, "name"), arguments or get(item, "input"))
        return {"role": "assistant", "parts": [part]}
    if kind.endswith("_call_output"):
        return {"role": "tool", "parts": [tool_response(get(item, "call_id"), get(item, "output"))]}
    if kind.endswith("_call"):  # a tool that ran at the provider
        action = get(item, "action") or get(item, "arguments") or get(item, "queries")
        return {"role": "assistant", "parts": [tool_call(get(item, "id"), kind.removesuffix("_call"), action)]}
    if kind == "reasoning":
        parts = [reasoning(words) for block in items(item, "summary") if (words := text(block, "text"))]
        return {"role": "assistant", "parts": parts} if parts else None
    parts = parts_of(get(item, "content"))
    return {"role": get(item, "role") or "user", "parts": parts} if parts else None


# --- Streams ----------------------------------------------------------------------------------------------------------

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
    """One output item until it is done."""

    __slots__ = ("done", "pieces", "started")

    def __init__(self, started: Any) -> None:
        self.started = started
        self.done: Any = None
        self.pieces: dict[str, Pieces] = {}

    def whole(self) -> Any:
        if self.done is not None:
            return self.done
        joined = {kind: "".join(pieces) for kind, pieces in self.pieces.items()}
        names = ("type", "role", "id", "call_id", "name")
        item = {name: get(self.started, name) for name in names} | {"arguments": joined.get("arguments")}
        item["content"] = [{"type": "output_text", "text": joined.get("text", "")}]
        item["summary"] = [{"type": "summary_text", "text": joined.get("summary", "")}]
        return item | {"role": item["role"] or "assistant"}


class _Output:
    """Collects events: the last event has the whole response; until then there are the items."""

    __slots__ = ("_ended", "_items", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._items: dict[int, _Item] = {}
        self._ended: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
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
        """Return the events up to now as one response."""
        if self._ended is not None:
            return self._ended
        return {"status": "in_progress", "output": [item.whole() for _, item in sorted(self._items.items())]}


CONTENT: Final = _ResponsesContent()
