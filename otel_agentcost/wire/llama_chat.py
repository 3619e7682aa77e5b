"""Chats of Meta's Llama API, whose answers are not OpenAI's: `completion_message`, events, and a list of metrics.

Requests are those of OpenAI's chats. Its OpenAI-compatible addresses answer as OpenAI does, which is read as well.
Names of the metrics: https://github.com/meta-llama/llama-api-python, and Agno's reader of them
(https://github.com/agno-agi/agno/blob/main/libs/agno/agno/models/meta/llama.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire import openai_chat
from otel_agentcost.wire.fields import fields, get, items, text
from otel_agentcost.wire.format import AnswerReader, Format, Message, SoFar, Transcript
from otel_agentcost.wire.openai_chat.content import CONTENT as CHAT_CONTENT
from otel_agentcost.wire.openai_chat.content import ChatContent

__all__ = ["FORMAT", "LlamaChat"]

_METRICS: Final = {
    "num_prompt_tokens": "prompt_tokens",
    "num_completion_tokens": "completion_tokens",
    "num_total_tokens": "total_tokens",
}
"""The metrics that count tokens, and the names of the same counts in OpenAI's usage."""


class _Content(ChatContent):
    def output_messages(self, response: Any) -> list[Message]:
        """Return the message of a response."""
        return list(super().output_messages(_whole(response)))

    # OpenAI's own returns a class of its own, where any collector will do.
    def transcript(self) -> Transcript:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a new collector for events."""
        return _Transcript(CHAT_CONTENT.transcript())


class _Transcript:
    """Collects events as the chunks that they stand for."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: Transcript) -> None:
        self._chunks = chunks

    def feed(self, event: Any) -> None:
        """Read one event."""
        self._chunks.feed(_chunk(event))

    def response(self) -> Any:
        """Return the events up to now as one response."""
        return self._chunks.response()


class LlamaChat(openai_chat.Chat):
    """The format."""

    content = _Content()

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        return super().read_response(call, _whole(response))

    # OpenAI's own returns a class of its own, where any reader will do.
    def open_stream(self, call: Call) -> _Reader:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a reader for the events of the answer to `call`."""
        return _Reader(super().open_stream(call))


class _Reader:
    """Reads events as the chunks that they stand for."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: AnswerReader) -> None:
        """Create a reader.

        Args:
            chunks: Reads the chunks of one answer.
        """
        self._chunks = chunks

    def feed(self, event: Any) -> None:
        """Read one event."""
        self._chunks.feed(_chunk(event))

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return self._chunks.so_far()

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        return self._chunks.answer(complete=complete)


def _whole(response: Any) -> Any:
    """Return a response in OpenAI's shape."""
    message = get(response, "completion_message")
    if message is None:
        return response
    choice = {"index": 0, "message": _message(message), "finish_reason": text(message, "stop_reason")}
    return {"id": get(response, "id"), "choices": [choice], **_usage(response)}


def _message(message: Any) -> Mapping[str, Any]:
    content = get(message, "content")
    return {
        "role": get(message, "role"),
        "content": content if isinstance(content, str) else text(content, "text"),
        "tool_calls": items(message, "tool_calls"),
    }


def _chunk(event: Any) -> Any:
    """Return an event in OpenAI's shape."""
    inner = get(event, "event")
    if inner is None:
        return event
    delta, choices = get(inner, "delta"), list[Any]()
    reason = text(inner, "stop_reason")
    if (words := text(delta, "text")) or reason:
        choices.append({"index": 0, "delta": {"content": words}, "finish_reason": reason})
    elif (function := get(delta, "function")) is not None:
        piece = {"index": 0, "id": get(delta, "id"), "function": function}
        choices.append({"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": reason})
    return {"id": get(event, "id"), "choices": choices, **_usage(inner)}


def _usage(place: Any) -> Mapping[str, Any]:
    """Return the usage in the metrics of a response or of an event; nothing if none counts tokens."""
    counted: dict[str, Any] = {}
    for metric in map(fields, items(place, "metrics")):
        name, value = _METRICS.get(text(metric, "metric") or ""), get(metric, "value")
        if name is not None:  # the SDK has numbers with a fraction
            counted[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return {"usage": counted} if counted else {}


FORMAT: Final[Format] = LlamaChat()
