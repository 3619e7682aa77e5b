"""What holds of the oldest release that is claimed, and of all since: the newest SDKs' tests need newer ones.

A call, an asynchronous call, a stream, and a refusal. `make matrix` runs these tests with the oldest releases.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any, NamedTuple

import pytest

from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.core import semconv
from otel_agentcost.settings.hosts import to_hosts
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply

MESSAGES = [{"role": "user", "content": "What is six times seven?"}]
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 50}
STREAMED_CHAT = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
RESPONSE: dict[str, Any] = {"model": "gpt-4o-mini", "input": "What is six times seven?", "max_output_tokens": 50}
MESSAGE: dict[str, Any] = {"model": "claude-sonnet-4-6", "messages": MESSAGES, "max_tokens": 50}
GENERATION: dict[str, Any] = {
    "model": "gemini-2.5-flash",
    "contents": "What is six times seven?",
    "config": {"max_output_tokens": 50},
}


class Asked(NamedTuple):
    """An SDK, and how to ask it: the functions get its client, synchronous or not."""

    package: str
    open: Callable[..., Any]
    """Gets the package, a URL, and whether the client is to be asynchronous."""
    call: Callable[[Any], Any]
    stream: Callable[[Any], Any]
    whole: Reply
    streamed: Reply
    spent: tuple[int, int, float]
    """Tokens in and out, and dollars: of the whole answer and of the stream."""


def _openai(package: Any, url: str, *, asynchronous: bool) -> Any:
    kind = package.AsyncOpenAI if asynchronous else package.OpenAI
    return kind(base_url=f"{url}/v1", api_key="none", max_retries=0)


def _anthropic(package: Any, url: str, *, asynchronous: bool) -> Any:
    kind = package.AsyncAnthropic if asynchronous else package.Anthropic
    return kind(base_url=url, api_key="none", max_retries=0)


def _gemini(package: Any, url: str, *, asynchronous: bool) -> Any:
    client = package.Client(api_key="none", http_options={"base_url": url})
    return client.aio if asynchronous else client


def _httpx(package: Any, url: str, *, asynchronous: bool) -> Any:
    kind = package.AsyncClient if asynchronous else package.Client
    return kind(base_url=url)


def _events(client: Any) -> Any:
    """Sends a request for a stream with an HTTP client, and reads it: a list, or a coroutine of one."""
    streaming = client.stream("POST", "/v1/chat/completions", json=STREAMED_CHAT)
    if hasattr(streaming, "__enter__"):
        with streaming as response:
            return list(response.iter_bytes())

    async def read() -> Any:
        async with streaming as response:
            return [each async for each in response.aiter_bytes()]

    return read()


CHAT_SPENT = (1205, 183, replies.CACHED_USD)
MESSAGE_SPENT = (181 + 1024 + 256, 183, replies.MESSAGE_CACHED_USD)
SDKS = {
    "openai": Asked(
        "openai",
        _openai,
        lambda client: client.chat.completions.create(**CHAT),
        lambda client: client.chat.completions.create(**STREAMED_CHAT),
        replies.chat_reply(replies.CACHED),
        replies.chat_stream(replies.CACHED),
        CHAT_SPENT,
    ),
    "openai responses": Asked(
        "openai",
        _openai,
        lambda client: client.responses.create(**RESPONSE),
        lambda client: client.responses.create(**RESPONSE, stream=True),
        json_reply(replies.response()),
        replies.response_stream(),
        CHAT_SPENT,
    ),
    "anthropic": Asked(
        "anthropic",
        _anthropic,
        lambda client: client.messages.create(**MESSAGE),
        lambda client: client.messages.create(**MESSAGE, stream=True),
        json_reply(replies.message()),
        replies.message_stream(),
        MESSAGE_SPENT,
    ),
    "google-genai": Asked(
        "google.genai",
        _gemini,
        lambda client: client.models.generate_content(**GENERATION),
        lambda client: client.models.generate_content_stream(**GENERATION),
        json_reply(replies.content()),
        replies.content_stream(),
        (1000, 80, replies.GEMINI_USD),
    ),
    "httpx": Asked(
        "httpx",
        _httpx,
        lambda client: client.post("/v1/chat/completions", json=CHAT),
        _events,
        replies.chat_reply(replies.CACHED),
        replies.chat_stream(replies.CACHED),
        CHAT_SPENT,
    ),
}


def _found(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package around it
        return False


Ask = Callable[[Any], Any]
CASES = [
    pytest.param(asked, id=name, marks=pytest.mark.skipif(not _found(asked.package), reason=f"no {asked.package} here"))
    for name, asked in SDKS.items()
]


def ask(asked: Asked, way: Ask, server: ModelServer) -> Any:
    """What the application gets, read to the end."""
    client = asked.open(importlib.import_module(asked.package), server.url, asynchronous=False)
    with ExitStack() as stack:
        if hasattr(client, "__exit__"):
            stack.enter_context(client)
        answer = way(client)
        return list(answer) if hasattr(answer, "__iter__") else answer


def ask_async(asked: Asked, way: Ask, server: ModelServer) -> Any:
    """The same from an asynchronous client."""

    async def run() -> Any:
        client = asked.open(importlib.import_module(asked.package), server.url, asynchronous=True)
        async with AsyncExitStack() as stack:
            if hasattr(client, "__aexit__"):
                await stack.enter_async_context(client)
            answer = await way(client)
            return [event async for event in answer] if hasattr(answer, "__aiter__") else answer

    return asyncio.run(run())


def measured(telemetry: Telemetry, **settings: Any) -> Any:
    return instrumented(telemetry, settings=Settings(hosts=to_hosts("127.0.0.1=openai"), **settings))


def judge(telemetry: Telemetry, asked: Asked) -> None:
    """The only span has the tokens and the dollars."""
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == asked.spent[:2]
    assert said[semconv.COST] == pytest.approx(asked.spent[2])
    assert semconv.ESTIMATED not in said
    assert semconv.UNPRICED not in said


@pytest.mark.parametrize("asked", CASES)
def test_a_call_is_priced(telemetry: Telemetry, model_server: ModelServer, asked: Asked) -> None:
    """To the last token."""
    model_server.replies(asked.whole)
    with measured(telemetry):
        assert ask(asked, asked.call, model_server)
    judge(telemetry, asked)


@pytest.mark.parametrize("asked", CASES)
def test_an_asynchronous_call_is_priced(telemetry: Telemetry, model_server: ModelServer, asked: Asked) -> None:
    """The same."""
    model_server.replies(asked.whole)
    with measured(telemetry):
        assert ask_async(asked, asked.call, model_server)
    judge(telemetry, asked)


@pytest.mark.parametrize("asking", [ask, ask_async])
@pytest.mark.parametrize("asked", CASES)
def test_a_stream_is_priced(
    telemetry: Telemetry, model_server: ModelServer, asked: Asked, asking: Callable[..., Any]
) -> None:
    """When it has been read, by the usage at its end."""
    model_server.replies(asked.streamed)
    with measured(telemetry):
        assert asking(asked, asked.stream, model_server)
    judge(telemetry, asked)


@pytest.mark.parametrize("asking", [ask, ask_async])
@pytest.mark.parametrize("asked", CASES)
def test_a_refused_call_is_not_sent(
    telemetry: Telemetry, model_server: ModelServer, asked: Asked, asking: Callable[..., Any]
) -> None:
    """Whole and streamed: the refusal comes out as itself, and no request leaves."""
    with measured(telemetry, budgets="total:usd=0.00000001"):
        for way in (asked.call, asked.stream):
            with pytest.raises(BudgetExceeded):
                asking(asked, way, model_server)
    assert model_server.requests == []
