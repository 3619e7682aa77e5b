"""Refusals, retries and broken connections, on real sockets: one span a call, and what it says when it fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from google.genai import types
from openai import AsyncOpenAI, OpenAI

from tests.integrations.sdks import anthropic_shapes, gemini_shapes, openai_shapes
from tests.integrations.sdks.openai_shapes import completed
from tests.support.call_shapes import Spend, check_span, instrumented, run, seen, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply
from tests.support.replies import chat_reply

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

BUSY = json_reply({"error": {"message": "slow down"}}, status=429, headers={"retry-after-ms": "1"})
BROKEN = json_reply({"error": {"message": "oops"}}, status=500, headers={"retry-after-ms": "1"})


def openai(url: str, **options: Any) -> Any:
    made: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 2, **options}
    with OpenAI(**made) as client:
        return client.chat.completions.create(**openai_shapes.ASK)


async def openai_async(url: str, **options: Any) -> Any:
    made: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 2, **options}
    async with AsyncOpenAI(**made) as client:
        return await client.chat.completions.create(**openai_shapes.ASK)


def anthropic(url: str, **options: Any) -> Any:
    made: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 2, **options}
    with Anthropic(**made) as client:
        return client.messages.create(**anthropic_shapes.ASK)


async def anthropic_async(url: str, **options: Any) -> Any:
    made: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 2, **options}
    async with AsyncAnthropic(**made) as client:
        return await client.messages.create(**anthropic_shapes.ASK)


def gemini(url: str, timeout: float | None = None, max_retries: int = 2) -> Any:
    options = types.HttpOptions(
        base_url=url,
        timeout=int(timeout * 1000) if timeout else None,
        retry_options=types.HttpRetryOptions(attempts=max_retries + 1, initial_delay=0.001, max_delay=0.001, jitter=0),
    )
    with genai.Client(api_key="none", http_options=options) as client:
        return client.models.generate_content(**gemini_shapes.ASK)


Ask = Callable[..., Any]
ASKS: list[tuple[str, Ask, Reply, Spend]] = [
    ("openai", openai, chat_reply(), completed()),
    ("openai async", openai_async, chat_reply(), completed()),
    ("anthropic", anthropic, anthropic_shapes.CACHED, anthropic_shapes.CACHED_SPEND),
    ("anthropic async", anthropic_async, anthropic_shapes.CACHED, anthropic_shapes.CACHED_SPEND),
    ("gemini", gemini, gemini_shapes.CONTENT, gemini_shapes.SPENT),
]
EACH = pytest.mark.parametrize(("ask", "reply", "spend"), [case[1:] for case in ASKS], ids=[case[0] for case in ASKS])


@EACH
@pytest.mark.parametrize("failures", [[BUSY], [BROKEN], [BUSY, BROKEN]], ids=["429", "500", "429 and 500"])
def test_retries_of_the_sdk_are_one_span(
    failures: list[Reply], ask: Ask, reply: Reply, spend: Spend, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A call that the SDK itself repeats until it succeeds is one span, without an error, charged once."""
    model_server.replies(*failures, reply)
    with warnings_of_ours() as warned, instrumented(telemetry):
        run(ask, model_server.url)
    assert len(model_server.requests) == len(failures) + 1
    assert warned == []
    check_span(telemetry.span(), spend)


@EACH
def test_retries_that_run_out_are_one_span(
    ask: Ask, reply: Reply, spend: Spend, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """When the last attempt fails too, the application gets its error, and there is one span with it."""
    model_server.replies(*[BUSY] * 3)
    with instrumented(telemetry), pytest.raises(Exception, match="slow down") as caught:
        run(ask, model_server.url)
    assert model_server.unused == 0
    span = telemetry.span(spend.name)
    given = dict(span.attributes or {})
    assert given["error.type"] == f"{caught.type.__module__}.{caught.type.__qualname__}"
    assert (span.status.status_code.name, "agentcost.unpriced" in given) == ("ERROR", False)
    assert telemetry.points("gen_ai.client.operation.cost") == ()


@EACH
def test_timeout(ask: Ask, reply: Reply, spend: Spend, model_server: ModelServer, telemetry: Telemetry) -> None:
    """A call that timed out may have been billed: the span does not claim that it was free."""
    model_server.replies(*[Reply(chunks=[0.5, b"{}"])] * 2)
    with instrumented(telemetry), pytest.raises(Exception, match=r"(?i)timed out|timeout") as caught:
        run(lambda url: ask(url, timeout=0.05, max_retries=0), model_server.url)
    given = telemetry.attributes(spend.name)
    assert given["error.type"] == f"{caught.type.__module__}.{caught.type.__qualname__}"
    assert "not known" in str(given["agentcost.unpriced"])


@EACH
def test_refused_connection(ask: Ask, reply: Reply, spend: Spend, telemetry: Telemetry) -> None:
    """Where nothing listens, the application gets the SDK's own error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def failing(url: str) -> Any:
        return ask(url, max_retries=0)

    without = raised_by(failing, url)
    with instrumented(telemetry):
        assert raised_by(failing, url) == without
    assert telemetry.span(spend.name).status.status_code.name == "ERROR"


def raised_by(action: Callable[[str], Any], url: str) -> Any:
    """The exception of an action, described."""
    with pytest.raises(Exception) as caught:
        run(action, url)
    return seen(caught.value)


@EACH
def test_connection_dropped_in_a_whole_response(
    ask: Ask, reply: Reply, spend: Spend, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A response that breaks off half-way was probably billed: unpriced, not free."""
    model_server.replies(Reply(body=b'{"id": "x"', drop=True))
    with instrumented(telemetry), pytest.raises(Exception):  # noqa: B017 (each SDK has its own)
        run(lambda url: ask(url, max_retries=0), model_server.url)
    span = telemetry.span(spend.name)
    assert span.status.status_code.name == "ERROR"
    assert "not known" in str(dict(span.attributes or {})["agentcost.unpriced"])


def test_one_exception_object_passes_through(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The exception is the SDK's, with its own context and no frame of ours as its cause."""
    model_server.replies(json_reply({"error": {"message": "no"}}, status=400))
    with instrumented(telemetry), pytest.raises(Exception, match="no") as caught:
        openai(model_server.url)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is not None
    assert type(caught.value).__name__ == "BadRequestError"


async def test_gathered_calls_of_which_some_fail(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Each call of a gather has its own span and its own outcome."""
    bad = json_reply({"error": {"message": "no"}}, status=400)
    replies = [chat_reply(), bad] * 5
    model_server.responder = lambda _: replies.pop()
    async with AsyncOpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
        with instrumented(telemetry):
            calls = (client.chat.completions.create(**openai_shapes.ASK) for _ in range(10))
            results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Exception) for result in results) == 5
    assert sorted(span.status.status_code.name for span in telemetry.spans) == ["ERROR"] * 5 + ["UNSET"] * 5
