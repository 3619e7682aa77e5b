"""Chat completions of the openai SDK, in every shape in which an application can ask for one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.support.call_shapes import Shape, Spend
from tests.support.model_server import Reply
from tests.support.replies import (
    CACHED,
    CACHED_USD,
    MINI,
    PLAIN_USD,
    THOUGHT,
    THOUGHT_USD,
    chat_reply,
    chat_stream,
)

QUESTION: list[Any] = [{"role": "user", "content": "What is the answer?"}]
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": QUESTION}
STREAM: dict[str, Any] = {**ASK, "stream": True}
WITH_USAGE: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True}}


class Verdict(BaseModel):
    """What a parsed answer is made of."""

    answer: int


def sync(use: Callable[[OpenAI], Any], **options: Any) -> Callable[[str], Any]:
    """Opens a client for `use`, and closes it."""

    def run(url: str) -> Any:
        made: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, **options}
        with OpenAI(**made) as client:
            return use(client)

    return run


def asynchronous(use: Callable[[AsyncOpenAI], Awaitable[Any]], **options: Any) -> Callable[[str], Any]:
    """`sync` for an asynchronous client."""

    async def run(url: str) -> Any:
        made: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, **options}
        async with AsyncOpenAI(**made) as client:
            return await use(client)

    return run


def completed(name: str = "chat gpt-4o-mini", **more: Any) -> Spend:
    """A plain completion: 100 tokens in, 50 out."""
    spent: dict[str, Any] = {"name": name, "served": MINI, "input": 100, "output": 50, "usd": PLAIN_USD, **more}
    return Spend(**spent)


CACHED_SPEND = Spend(name="chat gpt-4o-mini", served=MINI, input=1205, output=183, cache_read=1024, usd=CACHED_USD)
ESTIMATED = Spend(name="chat gpt-4o-mini", served=MINI, estimated=True)


# --- Streams, read in all the ways there are ---


def whole(stream: Any) -> list[Any]:
    """What a stream object is, and all its events."""
    return [type(stream).__qualname__, *stream]


async def whole_async(stream: Any) -> list[Any]:
    """`whole` for an asynchronous stream."""
    return [type(stream).__qualname__, *[event async for event in stream]]


def by_next(stream: Any) -> list[Any]:
    """Reads with next() alone."""
    events: list[Any] = []
    while (event := next(stream, None)) is not None:
        events.append(event)
    return events


def within(stream: Any) -> list[Any]:
    """Reads inside a `with` block."""
    with stream as entered:
        return [entered is stream, *entered]


def helper(client: OpenAI, **more: Any) -> list[Any]:
    """The `.stream()` helper: all its events, and what it adds up to."""
    with client.chat.completions.stream(**ASK, **more) as stream:
        events = [(event.type, getattr(event, "content", None)) for event in stream]
        return [events, stream.get_final_completion()]


async def helper_async(client: AsyncOpenAI) -> list[Any]:
    """`helper` for an asynchronous client."""
    async with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        events = [(event.type, getattr(event, "content", None)) async for event in stream]
        return [events, await stream.get_final_completion()]


def raw(response: Any) -> list[Any]:
    """A raw response, and the object in it."""
    parsed = response.parse()
    return [type(response).__qualname__, response.status_code, response.request_id, response.text, parsed]


def raw_stream(response: Any) -> list[Any]:
    """A raw response with a stream in it."""
    return [type(response).__qualname__, response.status_code, *whole(response.parse())]


def streaming(read: Callable[[Any], Any], ask: dict[str, Any]) -> Callable[[OpenAI], Any]:
    """`with_streaming_response`, read by `read`."""

    def use(client: OpenAI) -> list[Any]:
        with client.chat.completions.with_streaming_response.create(**ask) as response:
            before = response.http_response.is_stream_consumed
            return [type(response).__qualname__, before, read(response)]

    return use


def streaming_async(read: Callable[[Any], Awaitable[Any]], ask: dict[str, Any]) -> Callable[[AsyncOpenAI], Any]:
    """`streaming` for an asynchronous client."""

    async def use(client: AsyncOpenAI) -> list[Any]:
        async with client.chat.completions.with_streaming_response.create(**ask) as response:
            before = response.http_response.is_stream_consumed
            return [type(response).__qualname__, before, await read(response)]

    return use


async def lines_async(response: Any) -> list[str]:
    return [line async for line in response.iter_lines()]


async def bytes_async(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.iter_bytes()])


async def parsed_stream_async(response: Any) -> Any:
    return await whole_async(await response.parse())


def shape(name: str, use: Any, replies: Sequence[Reply], spend: Spend | None, **options: Any) -> Shape:
    """A shape of a synchronous client (an asynchronous one where `use` is a coroutine function of such a client)."""
    return Shape(name=name, run=sync(use, **options), replies=replies, spends=[spend] if spend else [])


def async_shape(name: str, use: Any, replies: Sequence[Reply], spend: Spend) -> Shape:
    """The same for an asynchronous client."""
    return Shape(name=f"async {name}", run=asynchronous(use), replies=replies, spends=[spend])


JSON_ANSWER = json.dumps({"answer": 42})
UNREAD = Spend(name="chat gpt-4o-mini", unpriced="before it was read")

CREATED = [
    shape("create", lambda c: c.chat.completions.create(**ASK), [chat_reply()], completed()),
    shape("create cached", lambda c: c.chat.completions.create(**ASK), [chat_reply(CACHED)], CACHED_SPEND),
    shape(
        "create reasoning",
        lambda c: c.chat.completions.create(**{**ASK, "model": "gpt-5-mini"}),
        [chat_reply(THOUGHT, model="gpt-5-mini-2025-08-07")],
        Spend(
            name="chat gpt-5-mini",
            served="gpt-5-mini-2025-08-07",
            input=100,
            output=500,
            reasoning=448,
            usd=THOUGHT_USD,
        ),
    ),
    shape(
        "parse",
        lambda c: c.chat.completions.parse(**ASK, response_format=Verdict),
        [chat_reply(text=JSON_ANSWER)],
        completed(),
    ),
    shape(
        "extra_body",
        lambda c: c.chat.completions.create(**ASK, extra_body={"model": "gpt-4o-mini-2024-07-18", "top_k": 3}),
        [chat_reply()],
        completed(f"chat {MINI}"),
    ),
    shape("client.post", lambda c: c.post("/chat/completions", body=ASK, cast_to=object), [chat_reply()], completed()),
    shape(
        "client.with_options",
        lambda c: c.with_options(timeout=30).chat.completions.create(**ASK),
        [chat_reply()],
        completed(),
    ),
    async_shape("create", lambda c: c.chat.completions.create(**ASK), [chat_reply()], completed()),
    async_shape(
        "parse",
        lambda c: c.chat.completions.parse(**ASK, response_format=Verdict),
        [chat_reply(text=JSON_ANSWER)],
        completed(),
    ),
]

STREAMED = [
    shape("stream", lambda c: whole(c.chat.completions.create(**STREAM)), [chat_stream()], ESTIMATED),
    shape(
        "stream include_usage",
        lambda c: whole(c.chat.completions.create(**WITH_USAGE)),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    shape(
        "stream by next()",
        lambda c: by_next(c.chat.completions.create(**WITH_USAGE)),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    shape(
        "stream in with",
        lambda c: within(c.chat.completions.create(**WITH_USAGE)),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    shape(
        ".stream() helper",
        lambda c: helper(c, stream_options={"include_usage": True}),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    shape(".stream() helper without usage", helper, [chat_stream()], ESTIMATED),
    async_shape(
        "stream",
        lambda c: _then(c.chat.completions.create(**STREAM), whole_async),
        [chat_stream()],
        ESTIMATED,
    ),
    async_shape(
        "stream include_usage",
        lambda c: _then(c.chat.completions.create(**WITH_USAGE), whole_async),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    async_shape(".stream() helper", helper_async, [chat_stream(CACHED)], CACHED_SPEND),
]


async def _then(awaited: Awaitable[Any], read: Callable[[Any], Awaitable[Any]]) -> Any:
    return await read(await awaited)


RAW = [
    shape(
        "with_raw_response",
        lambda c: raw(c.chat.completions.with_raw_response.create(**ASK)),
        [chat_reply()],
        completed(),
    ),
    shape(
        "with_raw_response stream",
        lambda c: raw_stream(c.chat.completions.with_raw_response.create(**WITH_USAGE)),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    shape(
        "with_raw_response parse()",
        lambda c: raw(c.chat.completions.with_raw_response.parse(**ASK, response_format=Verdict)),
        [chat_reply(text=JSON_ANSWER)],
        completed(),
    ),
    async_shape(
        "with_raw_response",
        lambda c: _then(c.chat.completions.with_raw_response.create(**ASK), _raw_async),
        [chat_reply()],
        completed(),
    ),
    async_shape(
        "with_raw_response stream",
        lambda c: _then(c.chat.completions.with_raw_response.create(**WITH_USAGE), _raw_stream_async),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
]


async def _raw_async(response: Any) -> list[Any]:
    return raw(response)


async def _raw_stream_async(response: Any) -> list[Any]:
    return [type(response).__qualname__, *await whole_async(response.parse())]


READS: dict[str, Callable[[Any], Any]] = {
    "iter_lines": lambda r: list(r.iter_lines()),
    "iter_bytes": lambda r: b"".join(r.iter_bytes()),
    "iter_bytes small": lambda r: b"".join(r.iter_bytes(7)),
    "iter_text": lambda r: "".join(r.iter_text()),
    "iter_raw": lambda r: b"".join(r.http_response.iter_raw()),
    "read": lambda r: r.read(),
    "json": lambda r: r.json(),
    "text": lambda r: r.text(),
    "parse": lambda r: r.parse(),
    "parse twice": lambda r: [r.parse(), r.parse(), r.read()],
}
NO_STREAM_READS = {"json", "parse", "parse twice"}
ASYNC_READS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "iter_lines": lines_async,
    "iter_bytes": bytes_async,
    "read": lambda r: r.read(),
    "json": lambda r: r.json(),
    "parse": lambda r: r.parse(),
}

STREAMING = [
    *(
        shape(f"with_streaming_response {name}", streaming(read, ASK), [chat_reply()], completed())
        for name, read in READS.items()
    ),
    *(
        shape(
            f"with_streaming_response stream {name}", streaming(read, WITH_USAGE), [chat_stream(CACHED)], CACHED_SPEND
        )
        for name, read in READS.items()
        if name not in NO_STREAM_READS
    ),
    shape(
        "with_streaming_response stream parse",
        streaming(lambda r: whole(r.parse()), WITH_USAGE),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    shape("with_streaming_response never read", streaming(lambda r: None, ASK), [chat_reply()], UNREAD),
    *(
        async_shape(f"with_streaming_response {name}", streaming_async(read, ASK), [chat_reply()], completed())
        for name, read in ASYNC_READS.items()
    ),
    async_shape(
        "with_streaming_response stream iter_lines",
        streaming_async(lines_async, WITH_USAGE),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
    async_shape(
        "with_streaming_response stream parse",
        streaming_async(parsed_stream_async, WITH_USAGE),
        [chat_stream(CACHED)],
        CACHED_SPEND,
    ),
]

SHAPES = [*CREATED, *STREAMED, *RAW, *STREAMING]
