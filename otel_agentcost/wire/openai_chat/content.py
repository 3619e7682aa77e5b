"""Message content of chat completions, for content capture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from otel_agentcost.wire.content import parts_of, reasoning, text_part, tool_call, tool_definition, tool_response
from otel_agentcost.wire.fields import fields, get, items, text
from otel_agentcost.wire.format import Message, Part
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["CONTENT", "ChatContent"]


class ChatContent:
    """The facet."""

    def system_instructions(self, body: Any) -> Iterable[Part]:  # noqa: ARG002 (instructions are messages here)
        """Return nothing: instructions are messages."""
        return ()

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Yield the tools that a request offers."""
        return map(tool_definition, items(body, "tools"))

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the messages of a request."""
        return (_message(message) for message in items(body, "messages"))

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield one message per choice."""
        for choice in items(response, "choices"):
            yield {**_message(get(choice, "message")), "finish_reason": get(choice, "finish_reason")}

    def transcript(self) -> _Choices:
        """Return a new collector for chunks."""
        return _Choices()


def _message(message: Any) -> Message:
    parts: list[Part] = []
    if words := text(message, "reasoning_content") or text(message, "reasoning"):
        parts.append(reasoning(words))
    if get(message, "role") == "tool":
        parts.append(tool_response(get(message, "tool_call_id"), get(message, "content")))
    else:
        parts += parts_of(get(message, "content"))
    if words := text(message, "refusal"):
        parts.append(text_part(words))
    if words := text(get(message, "audio"), "transcript"):
        parts.append(text_part(words))
    parts.extend(_calls(message))
    return {"role": get(message, "role"), "parts": parts}


def _calls(message: Any) -> Iterator[Part]:
    if (function := get(message, "function_call")) is not None:  # the name of tool calls in 2023
        yield tool_call(None, get(function, "name"), get(function, "arguments"))
    for call in items(message, "tool_calls"):
        function = get(call, "function") or get(call, "custom")
        arguments = get(function, "arguments")
        yield tool_call(get(call, "id"), get(function, "name"), arguments or get(function, "input"))


# --- Streams ----------------------------------------------------------------------------------------------------------


class _ToolCall:
    """One tool call: its name and arguments arrive in pieces."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name: Pieces = []
        self.arguments: Pieces = []

    def whole(self) -> Mapping[str, Any]:
        return {"id": self.id, "function": {"name": "".join(self.name), "arguments": "".join(self.arguments)}}


class _Choice:
    """One choice of the answer."""

    __slots__ = (
        "_by_index",
        "_room",
        "calls",
        "completion",
        "content",
        "finish_reason",
        "reasoning",
        "refusal",
        "role",
    )

    def __init__(self, room: Room) -> None:
        self._room = room
        self.role = "assistant"
        self.finish_reason: str | None = None
        self.completion: Pieces = []
        """The text of a legacy completion."""
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
        keep(self.completion, get(choice, "text"))
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
        return {"finish_reason": self.finish_reason, "message": message, "text": "".join(self.completion)}


class _Choices:
    """Collects the chunks of chat completions and of legacy completions."""

    __slots__ = ("_choices", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._choices: dict[int, _Choice] = {}

    def feed(self, event: Any) -> None:
        """Read one chunk."""
        for choice in items(event, "choices"):
            index = get(choice, "index")
            index = index if type(index) is int else 0
            if index not in self._choices and self._room.entry():
                self._choices[index] = _Choice(self._room)
            if index in self._choices:
                self._choices[index].feed(choice)

    def response(self) -> Any:
        """Return the chunks up to now as one response."""
        return {"choices": [choice.whole() for _, choice in sorted(self._choices.items())]}


CONTENT: Final = ChatContent()
