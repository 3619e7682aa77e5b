"""The shapes that a call can have: whole, streamed and left in every way, raw, refused; sync and async.

A shape makes one call with the client that it is given and is done with it when it returns. Each is a plain function
over the real SDK, as an application writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from tests.coexistence import providers

MESSAGES: Any = [{"role": "user", "content": "What is two and two?"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way to make a call."""

    name: str
    sdk: str
    run: Callable[[Any], Any]
    usd: float | None
    """What the call must come to; None where nobody can know: it is refused, or not read to the end."""
    is_async: bool = False

    @property
    def refused(self) -> bool:
        """Whether the provider refuses the call, which then costs nothing."""
        return "refused" in self.name

    @property
    def output_tokens(self) -> int:
        """How many tokens come back; 0 where none do, or not all."""
        return 183 if self.usd is not None and self.name != "embeddings" else 0

    def call(self, client: Any) -> None:
        """Makes the call, and whatever it takes to be rid of what is left of it."""
        if self.is_async:
            asyncio.run(self._with_closing(client))
        else:
            self.run(client)
            client.close()
        gc.collect()

    async def _with_closing(self, client: Any) -> None:
        await self.run(client)
        gc.collect()
        await client.close()


SHAPES: list[Shape] = []

Sync = Callable[[Any], object]
Async = Callable[[Any], Coroutine[Any, Any, object]]


def _shape(name: str, sdk: str, usd: float | None) -> Callable[[Sync], Sync]:
    def add(run: Sync) -> Sync:
        SHAPES.append(Shape(name=name, sdk=sdk, run=run, usd=usd))
        return run

    return add


def _async_shape(name: str, sdk: str, usd: float | None) -> Callable[[Async], Async]:
    def add(run: Async) -> Async:
        SHAPES.append(Shape(name=name, sdk=sdk, run=run, usd=usd, is_async=True))
        return run

    return add


# --- openai --------------------------------------------------------------------------------------------------------

CHAT: Mapping[str, Any] = {"model": providers.OPENAI_MODEL, "messages": MESSAGES}
CHAT_STREAM: Mapping[str, Any] = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}


@_shape("chat", "openai", providers.OPENAI_USD)
def chat(client: Any) -> None:
    assert client.chat.completions.create(**CHAT).choices[0].message.content == "It is four."


@_shape("chat raw", "openai", providers.OPENAI_USD)
def chat_raw(client: Any) -> None:
    assert client.chat.completions.with_raw_response.create(**CHAT).parse().id == "chatcmpl-1"


@_shape("chat refused", "openai", None)
def chat_refused(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.chat.completions.create(model="wrong", messages=MESSAGES)


@_shape("stream read", "openai", providers.OPENAI_USD)
def stream_read(client: Any) -> None:
    assert len(list(client.chat.completions.create(**CHAT_STREAM))) == 6


@_shape("stream broken off", "openai", None)
def stream_broken_off(client: Any) -> None:
    stream = client.chat.completions.create(**CHAT_STREAM)
    for _ in stream:
        break


@_shape("stream closed", "openai", None)
def stream_closed(client: Any) -> None:
    with client.chat.completions.create(**CHAT_STREAM) as stream:
        next(iter(stream))


@_shape("stream dropped", "openai", None)
def stream_dropped(client: Any) -> None:
    client.chat.completions.create(**CHAT_STREAM)


@_shape("stream helper", "openai", providers.OPENAI_USD)
def stream_helper(client: Any) -> None:
    with client.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
        assert stream.get_final_completion().choices[0].message.content == "It is four."


@_shape("responses", "openai", providers.OPENAI_USD)
def responses(client: Any) -> None:
    assert client.responses.create(model=providers.OPENAI_MODEL, input="Two and two?").output_text == "It is four."


@_shape("responses stream", "openai", providers.OPENAI_USD)
def responses_stream(client: Any) -> None:
    assert len(list(client.responses.create(model=providers.OPENAI_MODEL, input="Two and two?", stream=True))) == 6


@_shape("embeddings", "openai", providers.EMBEDDING_USD)
def embeddings(client: Any) -> None:
    client.embeddings.create(model=providers.EMBEDDING_MODEL, input="Two and two?", encoding_format="float")


@_async_shape("async chat", "openai", providers.OPENAI_USD)
async def async_chat(client: Any) -> None:
    assert (await client.chat.completions.create(**CHAT)).id == "chatcmpl-1"


@_async_shape("async stream read", "openai", providers.OPENAI_USD)
async def async_stream_read(client: Any) -> None:
    assert len([chunk async for chunk in await client.chat.completions.create(**CHAT_STREAM)]) == 6


@_async_shape("async stream broken off", "openai", None)
async def async_stream_broken_off(client: Any) -> None:
    async for _ in await client.chat.completions.create(**CHAT_STREAM):
        break


# --- anthropic -----------------------------------------------------------------------------------------------------

MESSAGE: Mapping[str, Any] = {"model": providers.ANTHROPIC_MODEL, "max_tokens": 500, "messages": MESSAGES}


@_shape("messages", "anthropic", providers.ANTHROPIC_USD)
def messages(client: Any) -> None:
    assert client.messages.create(**MESSAGE).content[0].text == "It is four."


@_shape("messages raw", "anthropic", providers.ANTHROPIC_USD)
def messages_raw(client: Any) -> None:
    assert client.messages.with_raw_response.create(**MESSAGE).parse().id == "msg_1"


@_shape("beta messages", "anthropic", providers.ANTHROPIC_USD)
def beta_messages(client: Any) -> None:
    assert client.beta.messages.create(**MESSAGE).id == "msg_1"


@_shape("messages refused", "anthropic", None)
def messages_refused(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.messages.create(model="wrong", max_tokens=500, messages=MESSAGES)


@_shape("stream read", "anthropic", providers.ANTHROPIC_USD)
def message_stream_read(client: Any) -> None:
    assert len(list(client.messages.create(**MESSAGE, stream=True))) == 8


@_shape("stream broken off", "anthropic", None)
def message_stream_broken_off(client: Any) -> None:
    stream = client.messages.create(**MESSAGE, stream=True)
    for _ in stream:
        break


@_shape("stream closed", "anthropic", None)
def message_stream_closed(client: Any) -> None:
    with client.messages.create(**MESSAGE, stream=True) as stream:
        next(iter(stream))


@_shape("stream dropped", "anthropic", None)
def message_stream_dropped(client: Any) -> None:
    client.messages.create(**MESSAGE, stream=True)


@_shape("stream helper", "anthropic", providers.ANTHROPIC_USD)
def message_stream_helper(client: Any) -> None:
    with client.messages.stream(**MESSAGE) as stream:
        assert "".join(stream.text_stream) == "It is four."


@_async_shape("async messages", "anthropic", providers.ANTHROPIC_USD)
async def async_messages(client: Any) -> None:
    assert (await client.messages.create(**MESSAGE)).id == "msg_1"


@_async_shape("async stream read", "anthropic", providers.ANTHROPIC_USD)
async def async_message_stream_read(client: Any) -> None:
    assert len([event async for event in await client.messages.create(**MESSAGE, stream=True)]) == 8


@_async_shape("async stream broken off", "anthropic", None)
async def async_message_stream_broken_off(client: Any) -> None:
    async for _ in await client.messages.create(**MESSAGE, stream=True):
        break


@_async_shape("async stream helper", "anthropic", providers.ANTHROPIC_USD)
async def async_message_stream_helper(client: Any) -> None:
    async with client.messages.stream(**MESSAGE) as stream:
        assert (await stream.get_final_message()).id == "msg_1"
