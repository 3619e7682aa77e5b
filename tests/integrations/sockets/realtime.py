"""Sessions of OpenAI realtime, made from the SDK's own types: usages, events, scripts of a server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai.types.realtime import (
    ConversationItemInputAudioTranscriptionCompletedEvent,
    RealtimeErrorEvent,
    RealtimeResponse,
    RealtimeResponseUsage,
    ResponseAudioDeltaEvent,
    ResponseAudioTranscriptDeltaEvent,
    ResponseCreatedEvent,
    ResponseDoneEvent,
    ResponseTextDeltaEvent,
)

from tests.support.socket_server import SocketServer

MODEL = "gpt-realtime"
Start = Callable[..., SocketServer]

DEPRECATED = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
"""openai uses the synchronous client of websockets in a way that websockets 17 deprecates."""

USAGE: dict[str, Any] = {
    "total_tokens": 353,
    "input_tokens": 253,
    "output_tokens": 100,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 104,
        "image_tokens": 30,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 40, "audio_tokens": 14, "image_tokens": 10},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 70},
}
USD = (79 * 4 + 90 * 32 + 20 * 5 + 40 * 0.4 + 14 * 0.4 + 10 * 0.5 + 30 * 16 + 70 * 64) / 1e6
"""The price of `USAGE` by hand, from OpenAI's price list for gpt-realtime."""


def session(**more: Any) -> dict[str, Any]:
    """The first event of a session."""
    config = {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime-2025-08-28",
        "instructions": "Be kind.",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": {"type": "server_vad"}},
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
        },
        **more,
    }
    return {"type": "session.created", "event_id": "event_0", "session": config}


def _dumped(event: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = event.to_dict(mode="json")
    return {"type": dumped.pop("type"), **dumped}


def created(number: int = 1, **more: Any) -> dict[str, Any]:
    """`response.created`."""
    response = RealtimeResponse(id=f"resp_{number}", object="realtime.response", status="in_progress", output=[])
    event = _dumped(ResponseCreatedEvent(event_id=f"c{number}", type="response.created", response=response))
    event["response"] |= {"conversation_id": "conv_1", "max_output_tokens": "inf", **more}
    return event


def done(number: int = 1, usage: dict[str, Any] | None = USAGE, status: str = "completed", **more: Any) -> Any:
    """`response.done`."""
    counted = RealtimeResponseUsage.model_validate(usage) if usage is not None else None
    fields: dict[str, Any] = {"id": f"resp_{number}", "object": "realtime.response", "status": status, "output": []}
    response = RealtimeResponse(**fields, usage=counted)
    event = _dumped(ResponseDoneEvent(event_id=f"d{number}", type="response.done", response=response))
    event["response"] |= {"conversation_id": "conv_1", **more}
    return event


def words(text: str, number: int = 1) -> dict[str, Any]:
    """A piece of a text answer."""
    return _dumped(
        ResponseTextDeltaEvent(
            type="response.output_text.delta",
            event_id="t",
            response_id=f"resp_{number}",
            item_id="i",
            output_index=0,
            content_index=0,
            delta=text,
        )
    )


def spoken(text: str, number: int = 1) -> dict[str, Any]:
    """A piece of the transcript of a spoken answer."""
    return _dumped(
        ResponseAudioTranscriptDeltaEvent(
            type="response.output_audio_transcript.delta",
            event_id="s",
            response_id=f"resp_{number}",
            item_id="i",
            output_index=0,
            content_index=0,
            delta=text,
        )
    )


def sound(milliseconds: int, number: int = 1) -> dict[str, Any]:
    """A piece of sound, 24 kHz with 16 bits."""
    return _dumped(
        ResponseAudioDeltaEvent(
            type="response.output_audio.delta",
            event_id="a",
            response_id=f"resp_{number}",
            item_id="i",
            output_index=0,
            content_index=0,
            delta=base64.b64encode(bytes(48 * milliseconds)).decode(),
        )
    )


def transcribed(usage: dict[str, Any] | None, transcript: str = "hello there") -> dict[str, Any]:
    """A completed transcription of input."""
    event = _dumped(
        ConversationItemInputAudioTranscriptionCompletedEvent.construct(
            type="conversation.item.input_audio_transcription.completed",
            event_id="tr",
            item_id="item_1",
            content_index=0,
            transcript=transcript,
        )
    )
    return event if usage is None else {**event, "usage": usage}


def error(code: str, event_id: str | None = None) -> dict[str, Any]:
    """An error event."""
    inner: Any = {"type": "invalid_request_error", "code": code, "message": "No.", "event_id": event_id, "param": None}
    return _dumped(RealtimeErrorEvent.construct(type="error", event_id="e", error=inner))


class Provider:
    """Answers each `response.create`, and each sound if it detects speech."""

    def __init__(self, *, speech: bool = False, usage: dict[str, Any] | None = USAGE) -> None:
        self.count = 0
        self.usage = usage
        self.speech = speech

    def __call__(self, event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        kind = event["type"]
        if kind == "response.create" or (self.speech and kind == "input_audio_buffer.append"):
            self.count += 1
            yield created(self.count)
            yield spoken("Hello", self.count)
            yield sound(200, self.count)
            yield done(self.count, self.usage)
        elif kind == "session.update":
            yield {"type": "session.updated", "event_id": "u", "session": {**session()["session"], **event["session"]}}


def client(server: SocketServer) -> openai.OpenAI:
    """A client of the server."""
    return openai.OpenAI(api_key="key", base_url=f"http://127.0.0.1:{server.port}/v1")


def async_client(server: SocketServer) -> openai.AsyncOpenAI:
    """An asynchronous client of the server."""
    return openai.AsyncOpenAI(api_key="key", base_url=f"http://127.0.0.1:{server.port}/v1")


def until(connection: Any, last: str = "response.done") -> list[Any]:
    """The events up to the first of a type."""
    events: list[Any] = []
    for event in connection:
        events.append(event)
        if event.type == last:
            break
    return events


async def until_async(connection: Any, last: str = "response.done") -> list[Any]:
    """The same of an asynchronous connection."""
    events: list[Any] = []
    async for event in connection:
        events.append(event)
        if event.type == last:
            break
    return events


def ask(server: SocketServer) -> None:
    """Opens a session and asks for one response."""
    with client(server).realtime.connect(model=MODEL) as connection:
        connection.response.create()
        until(connection)
