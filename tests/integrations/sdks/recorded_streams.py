"""Streams on an in-process transport that records how it is read and closed: the ends of streams, to the chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from google.genai import types
from openai import AsyncOpenAI, OpenAI

from tests.integrations.sdks import anthropic_shapes, gemini_shapes, openai_other_shapes, openai_shapes
from tests.support.model_server import sse_event
from tests.support.replies import CACHED, chat_chunks, content_stream, message_events, response_events

SSE = {"content-type": "text/event-stream"}


@dataclass
class Wire(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """One response body: its chunks, and how many of them were read and how often it was closed.

    A chunk that is an exception is raised in its place.
    """

    chunks: Sequence[bytes | BaseException]
    headers: dict[str, str] = field(default_factory=lambda: SSE)
    status: int = 200
    read: int = 0
    closed: int = 0
    each: Callable[[], None] = lambda: None
    """Called before each chunk."""
    each_async: Callable[[], Any] | None = None

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.each()
            if isinstance(chunk, BaseException):
                raise chunk
            self.read += 1
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if self.each_async is not None:
                await self.each_async()
            if isinstance(chunk, BaseException):
                raise chunk
            self.read += 1
            yield chunk

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1

    def transport(self) -> httpx2.MockTransport:
        """A transport that answers everything with this."""
        return httpx2.MockTransport(lambda _: httpx2.Response(self.status, headers=self.headers, stream=self))

    @property
    def handling(self) -> tuple[int, bool]:
        """How it was treated: chunks read, and whether it was closed."""
        return (self.read, bool(self.closed))


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """One SDK's stream: how to ask for it, what comes, and what is known when only a part of it came."""

    name: str
    ask: Callable[[httpx2.MockTransport], Any]
    """Returns a stream."""
    ask_async: Callable[[httpx2.MockTransport], Any]
    """Returns an awaitable of a stream."""
    chunks: Sequence[bytes]
    span: str
    known_input: int | None = None
    """The input tokens that the first event reports."""
    whole_usd: float


def _openai(transport: httpx2.MockTransport) -> OpenAI:
    http = httpx2.Client(transport=transport)
    return OpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=http)


def _openai_async(transport: httpx2.MockTransport) -> AsyncOpenAI:
    http = httpx2.AsyncClient(transport=transport)
    return AsyncOpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=http)


def _anthropic(transport: httpx2.MockTransport) -> Anthropic:
    http = httpx2.Client(transport=transport)
    return Anthropic(base_url="http://local", api_key="none", max_retries=0, http_client=http)


def _anthropic_async(transport: httpx2.MockTransport) -> AsyncAnthropic:
    http = httpx2.AsyncClient(transport=transport)
    return AsyncAnthropic(base_url="http://local", api_key="none", max_retries=0, http_client=http)


def gemini(transport: httpx2.MockTransport) -> genai.Client:
    """A Gemini client on `transport`."""
    options = types.HttpOptions(
        base_url="http://local",
        httpx_client=httpx2.Client(transport=transport),
        httpx_async_client=httpx2.AsyncClient(transport=transport),
    )
    return genai.Client(api_key="none", http_options=options)


CHAT = Streamed(
    name="openai chat",
    ask=lambda transport: _openai(transport).chat.completions.create(**openai_shapes.WITH_USAGE),
    ask_async=lambda transport: _openai_async(transport).chat.completions.create(**openai_shapes.WITH_USAGE),
    chunks=[*(sse_event(chunk) for chunk in chat_chunks(CACHED)), sse_event("[DONE]")],
    span="chat gpt-4o-mini",
    whole_usd=0.00021375,
)
RESPONSES = Streamed(
    name="openai responses",
    ask=lambda transport: _openai(transport).responses.create(**openai_other_shapes.RESPOND, stream=True),
    ask_async=lambda transport: _openai_async(transport).responses.create(**openai_other_shapes.RESPOND, stream=True),
    chunks=[sse_event(event, named=True) for event in response_events()],
    span="chat gpt-4o-mini",
    whole_usd=0.00021375,
)
MESSAGES = Streamed(
    name="anthropic messages",
    ask=lambda transport: _anthropic(transport).messages.create(**anthropic_shapes.ASK, stream=True),
    ask_async=lambda transport: _anthropic_async(transport).messages.create(**anthropic_shapes.ASK, stream=True),
    chunks=[sse_event(event, named=True) for event in message_events()],
    span="chat claude-sonnet-4-5",
    known_input=1461,
    whole_usd=0.0045552,
)
GEMINI = Streamed(
    name="gemini",
    ask=lambda transport: gemini(transport).models.generate_content_stream(**gemini_shapes.ASK),
    ask_async=lambda transport: gemini(transport).aio.models.generate_content_stream(**gemini_shapes.ASK),
    chunks=[chunk for chunk in content_stream().chunks or () if isinstance(chunk, bytes)],
    span="generate_content gemini-2.5-flash",
    known_input=1000,
    whole_usd=0.000392,
)
ALL = [CHAT, RESPONSES, MESSAGES, GEMINI]
