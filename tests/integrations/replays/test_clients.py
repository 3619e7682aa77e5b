"""Replayed answers of other SDKs and of bare HTTP clients: the second call sees what the first one saw, unsent."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import cohere
import httpx
import httpx2
import ollama
import pytest
import requests

from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.sdks import bedrock, test_cohere, test_ollama
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import seen, warnings_of_ours
from tests.support.event_frames import converse_reply
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply
from tests.support.replies import PLAIN, chat, chat_stream

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
STREAM: dict[str, Any] = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}


def in_ollama(**more: Any) -> Callable[[str], Any]:
    """A call of ollama."""

    def run(url: str) -> Any:
        client = ollama.Client(host=url)
        with contextlib.closing(client._client):  # the oldest release has no public way
            answer: Any = client.chat(**test_ollama.ASK, **more)
            return list(answer) if more else answer

    return run


async def ollama_async(url: str) -> Any:
    client = ollama.AsyncClient(host=url)
    try:
        return await client.chat(**test_ollama.ASK)
    finally:
        await client._client.aclose()


def in_cohere(use: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A call of cohere."""

    def run(url: str) -> Any:
        with httpx.Client() as http:
            return use(cohere.ClientV2("none", base_url=url, httpx_client=http))

    return run


def bare(library: Any, body: dict[str, Any]) -> Callable[[str], Any]:
    """A request of a client like httpx, without an SDK."""

    def run(url: str) -> Any:
        with library.Client() as client:
            response = client.post(f"{url}/v1/chat/completions", json=body)
            return [type(response).__qualname__, response.status_code, response.text, dict(response.headers)]

    return run


def read_in_pieces(url: str) -> Any:
    with httpx.Client() as client, client.stream("POST", f"{url}/v1/chat/completions", json=STREAM) as response:
        return list(response.iter_lines())


async def bare_async(url: str) -> Any:
    async with httpx.AsyncClient() as client:
        return (await client.post(f"{url}/v1/chat/completions", json=CHAT)).json()


async def by_aiohttp(url: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=CHAT) as response,
    ):
        body = await response.json()
        return [type(response).__qualname__, response.status, response.reason, body, dict(response.headers)]


async def lines_by_aiohttp(url: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=STREAM) as response,
    ):
        return [line async for line in response.content]


def by_requests(url: str) -> Any:
    with requests.Session() as session:
        response = session.post(f"{url}/v1/chat/completions", json=CHAT)
        return [type(response).__qualname__, response.status_code, response.reason, response.text, response.url]


def lines_by_requests(url: str) -> Any:
    with requests.Session() as session:
        response = session.post(f"{url}/v1/chat/completions", json=STREAM, stream=True)
        return list(response.iter_lines())


def texts(url: str) -> list[str]:
    """The same question by a client of its own each."""
    with httpx.Client() as one, httpx2.Client() as two:
        asked = [client.post(f"{url}/v1/chat/completions", json=CHAT) for client in (one, two)]
    return [str(each.text) for each in asked]


def in_bedrock(use: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A call of boto3."""

    def run(url: str) -> Any:
        server: Any = type("Server", (), {"url": url})
        with bedrock.bedrock(server) as client:
            return use(client)

    return run


def converse(client: Any) -> Any:
    response = client.converse(**bedrock.ASK)
    return [response["output"], response["usage"], response["ResponseMetadata"]["HTTPStatusCode"]]


def invoke(client: Any) -> Any:
    response = bedrock.invoked(client, bedrock.CLAUDE_BODY)
    return [json.loads(response["body"].read()), response["contentType"]]


CALLS: dict[str, tuple[Callable[[str], Any], Reply]] = {
    "ollama": (in_ollama(), json_reply(test_ollama.WHOLE)),
    "ollama, streamed": (in_ollama(stream=True), test_ollama.lines(test_ollama.PIECE, test_ollama.LAST)),
    "ollama, async": (ollama_async, json_reply(test_ollama.WHOLE)),
    "cohere": (in_cohere(lambda c: c.chat(**test_cohere.ASK)), json_reply(test_cohere.WHOLE)),
    "cohere, streamed": (in_cohere(lambda c: list(c.chat_stream(**test_cohere.ASK))), sse_reply(test_cohere.EVENTS)),
    "httpx": (bare(httpx, CHAT), json_reply(chat())),
    "httpx2": (bare(httpx2, CHAT), json_reply(chat())),
    "httpx, an event stream read at once": (bare(httpx, STREAM), chat_stream(PLAIN)),
    "httpx, read in pieces": (read_in_pieces, chat_stream(PLAIN)),
    "httpx, async": (bare_async, json_reply(chat())),
    "aiohttp": (by_aiohttp, json_reply(chat())),
    "aiohttp, read in pieces": (lines_by_aiohttp, chat_stream(PLAIN)),
    "requests": (by_requests, json_reply(chat())),
    "requests, read in pieces": (lines_by_requests, chat_stream(PLAIN)),
    "boto3, converse": (in_bedrock(converse), json_reply(bedrock.WHOLE)),
    "boto3, converse_stream": (
        in_bedrock(lambda client: list(client.converse_stream(**bedrock.ASK)["stream"])),
        converse_reply(bedrock.EVENTS),
    ),
    "boto3, invoke_model": (in_bedrock(invoke), json_reply(bedrock.CLAUDE_ANSWER)),
}
PACKED = gzip.compress(json_reply(chat()).body)
BARE = [name for name in CALLS if name.startswith(("httpx", "requests", "aiohttp"))]


def run(call: Callable[[str], Any], url: str) -> Any:
    """What a call returns, by types and content."""
    result = call(url)
    return seen(asyncio.run(result) if asyncio.iscoroutine(result) else result)


@pytest.mark.parametrize("http", ["on", "off"])
@pytest.mark.parametrize("name", CALLS)
def test_the_second_call_is_not_sent(name: str, http: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """With the HTTP clients counted or not; without that, bare requests are no calls of a model."""
    call, reply = CALLS[name]
    sent = 2 if http == "off" and name in BARE else 1
    model_server.responder = lambda _: reply
    settings: dict[str, Any] = {"cache": ("exact",), "cache_sampling": "any", "http": http}
    with warnings_of_ours() as warned, budgeted(telemetry, **settings, hosts=to_hosts("127.0.0.1=openai")):
        first, second = run(call, model_server.url), run(call, model_server.url)
    assert first == second
    assert len(model_server.requests) == sent
    assert warned == []


def test_a_compressed_answer_is_kept_as_it_reads(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A hit is not compressed, and the headers do not say that it is."""
    model_server.responder = lambda _: Reply(body=PACKED, headers={"content-encoding": "gzip"})
    settings: dict[str, Any] = {"cache": ("exact",), "cache_sampling": "any"}
    with budgeted(telemetry, **settings, hosts=to_hosts("127.0.0.1=openai")):
        first, second = texts(model_server.url), texts(model_server.url)
    assert first == second
    assert json.loads(first[0]) == chat()
    assert len(model_server.requests) == 2, "one for each client, which are two SDKs to the cache"
