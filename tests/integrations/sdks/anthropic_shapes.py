"""Messages of the anthropic SDK, in every shape in which an application can ask for one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from anthropic import Anthropic, AsyncAnthropic, beta_tool
from pydantic import BaseModel

from tests.support.call_shapes import Shape, Spend, a_tool
from tests.support.model_server import Reply, json_reply
from tests.support.replies import (
    MESSAGE,
    MESSAGE_CACHED,
    MESSAGE_CACHED_1H,
    MESSAGE_CACHED_1H_USD,
    MESSAGE_CACHED_USD,
    MESSAGE_USD,
    SONNET,
    message,
    message_stream,
)

NAME = "chat claude-sonnet-4-5"
ASK: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is the answer?"}],
}
PLAIN_SPEND = Spend(name=NAME, provider="anthropic", served=SONNET, input=100, output=50, usd=MESSAGE_USD)
CACHED_SPEND = Spend(
    name=NAME,
    provider="anthropic",
    served=SONNET,
    input=1461,
    output=183,
    cache_read=1024,
    cache_write=256,
    usd=MESSAGE_CACHED_USD,
)
LONG_SPEND = Spend(
    name=NAME,
    provider="anthropic",
    served=SONNET,
    input=1461,
    output=183,
    cache_read=1024,
    cache_write=256,
    usd=MESSAGE_CACHED_1H_USD,
)
PLAIN, CACHED, LONG = (json_reply(message(usage)) for usage in (MESSAGE, MESSAGE_CACHED, MESSAGE_CACHED_1H))


class Verdict(BaseModel):
    """What a parsed answer is made of."""

    answer: int


def sync(use: Callable[[Anthropic], Any]) -> Callable[[str], Any]:
    """Opens a client for `use`, and closes it."""

    def run(url: str) -> Any:
        with Anthropic(base_url=url, api_key="none", max_retries=0) as client:
            return use(client)

    return run


def asynchronous(use: Callable[[AsyncAnthropic], Awaitable[Any]]) -> Callable[[str], Any]:
    """`sync` for an asynchronous client."""

    async def run(url: str) -> Any:
        async with AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
            return await use(client)

    return run


def whole(stream: Any) -> list[Any]:
    """What a stream object is, and all its events."""
    return [type(stream).__qualname__, *stream]


async def whole_async(stream: Any) -> list[Any]:
    """`whole` for an asynchronous stream."""
    return [type(stream).__qualname__, *[event async for event in stream]]


def helper(client: Anthropic) -> list[Any]:
    """The `.stream()` helper: all events, and the message that they add up to."""
    with client.messages.stream(**ASK) as stream:
        return [[event.type for event in stream], stream.get_final_message()]


def helper_text(client: Anthropic) -> list[Any]:
    """The `.stream()` helper, of which only the text is read."""
    with client.messages.stream(**ASK) as stream:
        return [list(stream.text_stream), stream.get_final_text()]


def helper_unread(client: Anthropic) -> Any:
    """The `.stream()` helper, of which only the final message is asked for."""
    with client.beta.messages.stream(**ASK) as stream:
        return stream.get_final_message()


async def helper_async(client: AsyncAnthropic) -> list[Any]:
    """`helper` for an asynchronous client."""
    async with client.messages.stream(**ASK) as stream:
        return [[event.type async for event in stream], await stream.get_final_message()]


def raw(response: Any) -> list[Any]:
    """A raw response, and the object in it."""
    return [type(response).__qualname__, response.status_code, response.text(), response.parse()]


async def raw_async(client: AsyncAnthropic) -> list[Any]:
    """A raw response of an asynchronous client."""
    response = await client.messages.with_raw_response.create(**ASK)
    return [type(response).__qualname__, await response.text(), await response.parse()]


def streaming(read: Callable[[Any], Any], **more: Any) -> Callable[[Anthropic], Any]:
    """`with_streaming_response`, read by `read`."""

    def use(client: Anthropic) -> list[Any]:
        with client.messages.with_streaming_response.create(**ASK, **more) as response:
            return [type(response).__qualname__, response.http_response.is_stream_consumed, read(response)]

    return use


async def streaming_async(client: AsyncAnthropic) -> list[Any]:
    """`streaming` for an asynchronous client."""
    async with client.messages.with_streaming_response.create(**ASK) as response:
        return [type(response).__qualname__, response.http_response.is_stream_consumed, await response.parse()]


async def stream_async(client: AsyncAnthropic) -> list[Any]:
    """A stream of an asynchronous client."""
    return await whole_async(await client.messages.create(**ASK, stream=True))


@beta_tool
def temperature(city: str) -> str:
    """The temperature.

    Args:
        city: Where.
    """
    return f"20 degrees in {city}"


TOOL_USE = json_reply(
    message(
        MESSAGE,
        content=[{"type": "tool_use", "id": "tu_1", "name": "temperature", "input": {"city": "Oslo"}}],
        stop_reason="tool_use",
    )
)


def runner(client: Anthropic) -> list[Any]:
    """A tool runner: two calls, each billed."""
    return list(client.beta.messages.tool_runner(**ASK, tools=[temperature]))


def shape(name: str, use: Any, replies: Sequence[Reply], *spends: Spend) -> Shape:
    """A shape of a synchronous client."""
    return Shape(name=name, run=sync(use), replies=replies, spends=spends)


def async_shape(name: str, use: Any, replies: Sequence[Reply], *spends: Spend) -> Shape:
    """A shape of an asynchronous client."""
    return Shape(name=f"async {name}", run=asynchronous(use), replies=replies, spends=spends)


_BATCH = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-02T00:00:00Z",
    "results_url": "RESULTS",
}
_RESULT = {"custom_id": "1", "result": {"type": "succeeded", "message": message()}}


def batch(client: Anthropic) -> Any:
    """Creates a batch."""
    params: Any = ASK
    return client.messages.batches.create(requests=[{"custom_id": "1", "params": params}])


def results(client: Anthropic) -> Any:
    """Reads a batch's results."""
    found = client.get("/v1/messages/batches/msgbatch_1/results", cast_to=object)
    return [found, client.messages.batches.retrieve("msgbatch_1")]


CREATED = [
    shape("create", lambda c: c.messages.create(**ASK), [PLAIN], PLAIN_SPEND),
    shape("create cached", lambda c: c.messages.create(**ASK), [CACHED], CACHED_SPEND),
    shape("create cached for an hour", lambda c: c.messages.create(**ASK), [LONG], LONG_SPEND),
    shape("beta.messages.create", lambda c: c.beta.messages.create(**ASK), [CACHED], CACHED_SPEND),
    shape(
        "beta.messages.create with betas", lambda c: c.beta.messages.create(**ASK, betas=["x"]), [PLAIN], PLAIN_SPEND
    ),
    shape(
        "parse",
        lambda c: c.messages.parse(**ASK, output_format=Verdict),
        [json_reply(message(text=json.dumps({"answer": 42})))],
        CACHED_SPEND,
    ),
    shape("tool_runner", runner, [TOOL_USE, CACHED], PLAIN_SPEND, a_tool("temperature"), CACHED_SPEND),
    shape(
        "count_tokens",
        lambda c: c.messages.count_tokens(model=ASK["model"], messages=ASK["messages"]),
        [json_reply({"input_tokens": 8})],
    ),
    shape(
        "batches.create",
        batch,
        [json_reply(_BATCH)],
        Spend(
            name="create_batch claude-sonnet-4-5",
            operation="create_batch",
            provider="anthropic",
            unpriced="billed as it runs",
        ),
    ),
    shape("batches results", results, [json_reply(_RESULT), json_reply(_BATCH)]),
    async_shape("create", lambda c: c.messages.create(**ASK), [CACHED], CACHED_SPEND),
    async_shape("beta.messages.create", lambda c: c.beta.messages.create(**ASK), [LONG], LONG_SPEND),
]

STREAMED = [
    shape("stream", lambda c: whole(c.messages.create(**ASK, stream=True)), [message_stream()], CACHED_SPEND),
    shape(
        "stream cached for an hour",
        lambda c: whole(c.messages.create(**ASK, stream=True)),
        [message_stream(MESSAGE_CACHED_1H)],
        LONG_SPEND,
    ),
    shape("beta stream", lambda c: whole(c.beta.messages.create(**ASK, stream=True)), [message_stream()], CACHED_SPEND),
    shape(".stream() helper", helper, [message_stream()], CACHED_SPEND),
    shape(".stream() helper text", helper_text, [message_stream()], CACHED_SPEND),
    shape("beta .stream() helper unread", helper_unread, [message_stream()], CACHED_SPEND),
    async_shape("stream", stream_async, [message_stream()], CACHED_SPEND),
    async_shape(".stream() helper", helper_async, [message_stream()], CACHED_SPEND),
]

RAW = [
    shape("with_raw_response", lambda c: raw(c.messages.with_raw_response.create(**ASK)), [CACHED], CACHED_SPEND),
    shape(
        "with_raw_response stream",
        lambda c: whole(c.messages.with_raw_response.create(**ASK, stream=True).parse()),
        [message_stream()],
        CACHED_SPEND,
    ),
    shape("with_streaming_response parse", streaming(lambda r: r.parse()), [CACHED], CACHED_SPEND),
    shape("with_streaming_response json", streaming(lambda r: r.json()), [CACHED], CACHED_SPEND),
    shape(
        "with_streaming_response stream iter_lines",
        streaming(lambda r: list(r.iter_lines()), stream=True),
        [message_stream()],
        CACHED_SPEND,
    ),
    shape(
        "with_streaming_response stream parse",
        streaming(lambda r: whole(r.parse()), stream=True),
        [message_stream()],
        CACHED_SPEND,
    ),
    shape(
        "with_streaming_response never read",
        streaming(lambda r: None),
        [CACHED],
        Spend(name=NAME, provider="anthropic", unpriced="before it was read"),
    ),
    async_shape("with_raw_response", raw_async, [CACHED], CACHED_SPEND),
    async_shape("with_streaming_response parse", streaming_async, [CACHED], CACHED_SPEND),
]

SHAPES = [*CREATED, *STREAMED, *RAW]
