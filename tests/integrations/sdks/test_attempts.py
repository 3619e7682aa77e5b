"""More than one billed request within one call of the SDK: one span, and every dollar on it."""

from __future__ import annotations

import gc
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import OpenAI

from tests.integrations.sdks.anthropic_shapes import ASK as ASK_CLAUDE
from tests.integrations.sdks.anthropic_shapes import CACHED
from tests.integrations.sdks.openai_shapes import ASK, STREAM, WITH_USAGE
from tests.support.call_shapes import instrumented, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply
from tests.support.replies import (
    MESSAGE,
    MESSAGE_CACHED_USD,
    MESSAGE_USD,
    chat_reply,
    chat_stream,
    message,
    message_stream,
)

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")


FIRST = json_reply(message(MESSAGE, id="msg_0"))
BOTH = pytest.approx(MESSAGE_USD + MESSAGE_CACHED_USD)


def twice(request: Any, call_next: Any) -> Any:
    """A middleware of the application's that is never content with the first answer."""
    call_next(request).parse()
    return call_next(request)


async def twice_async(request: Any, call_next: Any) -> Any:
    """`twice` for an asynchronous client."""
    await (await call_next(request)).parse()
    return await call_next(request)


def test_middleware_that_asks_twice(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Two answers within one call, through a middleware of anthropic's SDK, are one span with the dollars of both."""
    model_server.replies(FIRST, CACHED)
    client = Anthropic(base_url=model_server.url, api_key="none", middleware=[twice])
    with warnings_of_ours() as warned, instrumented(telemetry), client:
        client.messages.create(**ASK_CLAUDE)
    assert warned == []
    assert telemetry.attributes()["agentcost.cost.usd"] == BOTH
    assert telemetry.total("agentcost.cost") == BOTH


async def test_asynchronous_middleware_that_asks_twice(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The same for an asynchronous client."""
    model_server.replies(FIRST, CACHED)
    client = AsyncAnthropic(base_url=model_server.url, api_key="none", middleware=[twice_async])
    with warnings_of_ours() as warned, instrumented(telemetry):
        async with client:
            await client.messages.create(**ASK_CLAUDE)
    assert warned == []
    assert telemetry.attributes()["agentcost.cost.usd"] == BOTH


def test_refusal_after_an_answer_is_not_free(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Where the second request is refused, the application sees that, and the first answer was billed all the same."""
    model_server.replies(FIRST, json_reply({"type": "error", "error": {"message": "no"}}, status=400))
    client = Anthropic(base_url=model_server.url, api_key="none", middleware=[twice])
    with instrumented(telemetry), pytest.raises(Exception, match="no"), client:
        client.messages.create(**ASK_CLAUDE)
    assert telemetry.attributes()["agentcost.cost.usd"] == MESSAGE_USD
    assert telemetry.attributes()["error.type"] == "anthropic.BadRequestError"


def test_streams_before_the_last_one_are_not_left_out_in_silence(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A stream that a middleware has read and thrown away was billed, too: the span says so beside its dollars."""

    def again(request: Any, call_next: Any) -> Any:
        list(call_next(request).parse())
        return call_next(request)

    model_server.replies(message_stream(), message_stream())
    client = Anthropic(base_url=model_server.url, api_key="none", middleware=[again])
    with warnings_of_ours() as warned, instrumented(telemetry), client:
        list(client.messages.create(**ASK_CLAUDE, stream=True))
    assert warned == []
    assert telemetry.attributes()["agentcost.cost.usd"] == MESSAGE_CACHED_USD
    assert "earlier attempt" in str(telemetry.attributes()["agentcost.unpriced"])


def connections(replies: list[Reply], model_server: ModelServer, asks: list[dict[str, Any]]) -> list[bool]:
    """Whether each connection of the pool is free, after streams that were read in part and dropped."""
    model_server.replies(*replies)
    pool: Any = httpx2.HTTPTransport()
    http = httpx2.Client(transport=pool)
    with OpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0, http_client=http) as client:
        for ask in asks:
            made: Any = client.chat.completions.create(**ask)
            if ask.get("stream"):
                for _ in made:
                    break
            del made
            gc.collect()
        return [connection.is_idle() for connection in pool._pool.connections]


@pytest.mark.parametrize("ask", [STREAM, WITH_USAGE, ASK], ids=["stream", "stream with usage", "whole"])
def test_dropped_streams_do_not_exhaust_the_connections(
    ask: dict[str, Any], model_server: ModelServer, telemetry: Telemetry
) -> None:
    """On real sockets too: the pool has as many connections, as free, as without us."""

    def several() -> list[bool]:
        replies = [chat_stream(words=["word "] * 200) if ask.get("stream") else chat_reply() for _ in range(3)]
        return connections(replies, model_server, [ask] * 3)

    without = several()
    with instrumented(telemetry):
        assert several() == without
    assert len(telemetry.spans) == 3
