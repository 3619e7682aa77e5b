"""What a program without an SDK reads of earlier calls: batches and their results, and answers that went on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import anthropic
import httpx
import httpx2
import pytest
import requests
import urllib3
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.sdks import (
    test_anthropic_sessions,
    test_batches,
    test_gemini_interactions,
    test_unfinished_answers,
)
from tests.integrations.sdks.test_batches import TOKENS, settlements
from tests.support.batch_provider import BatchProvider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply

Get = Callable[[str, Mapping[str, str]], bytes]


def _httpx(library: Any) -> Get:
    def get(url: str, headers: Mapping[str, str]) -> bytes:
        with library.Client() as client:
            content: bytes = client.get(url, headers=headers).content
            return content

    return get


def _httpx_streamed(url: str, headers: Mapping[str, str]) -> bytes:
    with httpx.Client() as client, client.stream("GET", url, headers=headers) as response:
        return b"".join(response.iter_bytes(100))


def _httpx_async(url: str, headers: Mapping[str, str]) -> bytes:
    async def get() -> bytes:
        async with httpx.AsyncClient() as client:
            return (await client.get(url, headers=headers)).content

    return asyncio.run(get())


def _requests_streamed(url: str, headers: Mapping[str, str]) -> bytes:
    with requests.get(url, headers=headers, stream=True, timeout=9) as response:
        return b"".join(response.iter_content(100))


def _urllib3(url: str, headers: Mapping[str, str]) -> bytes:
    with urllib3.PoolManager() as pool:
        return bytes(pool.request("GET", url, headers=headers).data)


def _aiohttp(url: str, headers: Mapping[str, str]) -> bytes:
    async def get() -> bytes:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return await response.read()

    return asyncio.run(get())


GETS: dict[str, Get] = {
    "httpx": _httpx(httpx),
    "httpx2": _httpx(httpx2),
    "httpx streamed": _httpx_streamed,
    "httpx async": _httpx_async,
    "requests": lambda url, headers: requests.get(url, headers=headers, timeout=9).content,
    "requests streamed": _requests_streamed,
    "urllib3": _urllib3,
    "aiohttp": _aiohttp,
}
of_all = pytest.mark.parametrize("get", GETS.values(), ids=GETS)


class Api(NamedTuple):
    """The addresses of one provider's batches."""

    provider: str
    create: str
    body: dict[str, Any]
    poll: str
    results: str
    usd: float
    headers: Mapping[str, str] = {}


_ASK = {"custom_id": "q", "params": {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": []}}
_KEY = {"x-goog-api-key": "none"}
APIS = {
    "openai": Api(
        "openai",
        "/v1/batches",
        {"input_file_id": "file-in", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        "/v1/batches/batch_1",
        "/v1/files/file-out/content",
        test_batches.GPT["usd"],
    ),
    "anthropic": Api(
        "anthropic",
        "/v1/messages/batches",
        {"requests": [_ASK]},
        "/v1/messages/batches/msgbatch_1",
        "/v1/messages/batches/msgbatch_1/results",
        test_batches.HAIKU["usd"],
    ),
    "gemini": Api(
        "gcp.gemini",
        "/v1beta/models/gemini-2.5-flash:batchGenerateContent",
        {"batch": {"inputConfig": {"fileName": "files/in"}}},
        "/v1beta/batches/1",
        "/download/v1beta/files/batch-1:download?alt=media",
        test_batches.FLASH["usd"],
        _KEY,
    ),
    "mistral": Api(
        "mistral_ai",
        "/v1/batch/jobs",
        {"input_files": ["in"], "endpoint": "/v1/chat/completions", "model": "mistral-small-latest"},
        "/v1/batch/jobs/job_1",
        "/v1/files/mistral-out/content",
        0.000315,
    ),
}


@pytest.fixture
def provider(model_server: ModelServer) -> BatchProvider:
    provider = BatchProvider()
    model_server.responder = provider
    return provider


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@of_all
def test_a_batch_is_settled_once(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider, get: Get, api: Api
) -> None:
    """As by the SDK: to the one who created it, at batch prices. The program gets every byte."""
    url, hosts = model_server.url, to_hosts(f"127.0.0.1={api.provider}")
    provider.finish()
    wanted = [get(url + path, api.headers) for path in (api.poll, api.results)]
    provider.finished = False
    with budgeted(telemetry, hosts=hosts):
        with otel_agentcost.attribute(user="u1"):
            httpx.post(url + api.create, json=api.body, headers=dict(api.headers))
        get(url + api.poll, api.headers)
        assert settlements(telemetry) == []
        provider.finish()
        for _ in range(3):
            assert [get(url + path, api.headers) for path in (api.poll, api.results)] == wanted
    (settled,) = settlements(telemetry)
    assert settled[semconv.COST] == pytest.approx(api.usd, abs=1e-12)
    assert (settled[semconv.INPUT_TOKENS], settled[semconv.OUTPUT_TOKENS]) == TOKENS
    assert settled[semconv.USER] == "u1"
    assert len([span for span in telemetry.spans if not span.name.startswith("settle_batch")]) == 1


SHARED = [("openai", False), ("anthropic", False), ("gemini file", False), ("gemini inlined", True)]


@pytest.mark.parametrize(("name", "inlined"), SHARED, ids=[name for name, _ in SHARED])
def test_an_sdk_and_plain_requests_may_share_a_batch(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider, name: str, inlined: bool
) -> None:
    """The SDK has created it, both read its results, and it is charged once."""
    program, api = test_batches.PROGRAMS[name], APIS[name.partition(" ")[0]]
    provider.inlined = inlined
    with budgeted(telemetry, hosts=to_hosts(f"127.0.0.1={api.provider}")):
        program.create(model_server.url)
        provider.finish()
        for path in (api.poll,) if inlined else (api.poll, api.results):
            _aiohttp(model_server.url + path, api.headers)
        program.read(model_server.url)
    (settled,) = settlements(telemetry)
    assert settled[semconv.COST] == pytest.approx(api.usd, abs=1e-12)


def test_results_that_break_off_are_counted_as_far_as_they_came(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """The rest is counted when it is read; a failed request says nothing."""
    api = APIS["openai"]
    with budgeted(telemetry, hosts=to_hosts("127.0.0.1=openai")):
        httpx.post(model_server.url + api.create, json=api.body)
        provider.finish()
        _aiohttp(model_server.url + api.poll, {})
        lines = provider.openai()
        model_server.responder = lambda _: Reply(status=500, body=b"no")
        assert _aiohttp(model_server.url + api.results, {}) == b"no"
        half = [f"{json.dumps(line)}\n".encode() for line in lines[:2]]
        model_server.responder = lambda _: Reply(content_type="application/octet-stream", chunks=half, drop=True)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _requests_streamed(model_server.url + api.results, {})
        assert telemetry.total("agentcost.cost") == pytest.approx(api.usd * 2 / 3, abs=1e-12)
        model_server.responder = provider
        _requests_streamed(model_server.url + api.results, {})
    assert telemetry.total("agentcost.cost") == pytest.approx(api.usd, abs=1e-12)


@of_all
def test_an_answer_in_the_background_is_charged_when_it_is_read(
    telemetry: Telemetry, model_server: ModelServer, get: Get
) -> None:
    """Whoever has asked for it, polls cost nothing, and the finished answer is charged once."""
    states = [test_unfinished_answers.WORKING, test_unfinished_answers.DONE]

    def reply(request: Request) -> Reply:
        if request.method == "POST":
            return test_unfinished_answers.QUEUED
        return states.pop(0) if len(states) > 1 else states[0]

    model_server.responder = reply
    with budgeted(telemetry, budgets="total:usd=1", hosts=to_hosts("127.0.0.1=openai")):
        with otel_agentcost.run("job") as block:
            httpx.post(f"{model_server.url}/v1/responses", json=test_unfinished_answers.ASK)
            for _ in range(3):
                get(f"{model_server.url}/v1/responses/resp_1", {})
        assert (block.cost_usd, block.llm_calls) == (test_unfinished_answers.USD, 1)
    assert telemetry.total("agentcost.cost") == float(test_unfinished_answers.USD)


def test_a_reading_of_an_sdk_is_one_reading(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The HTTP client below it leaves the response to it: the calls have no further spans."""
    hosts = to_hosts("127.0.0.1=openai")
    with budgeted(telemetry, hosts=hosts), OpenAI(base_url=model_server.url + "/v1", api_key="none") as client:
        model_server.replies(test_unfinished_answers.QUEUED, test_unfinished_answers.FINISHED)
        client.responses.create(**test_unfinished_answers.ASK)
        for _ in client.responses.retrieve("resp_1", stream=True):
            pass
    assert [span.name for span in telemetry.spans] == ["chat gpt-5", "chat gpt-5"]
    assert telemetry.total("agentcost.cost") == float(test_unfinished_answers.USD)


def test_interactions_over_http_are_priced(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Gemini's interactions, without its SDK."""
    answers = [test_gemini_interactions.interaction(state) for state in ("in_progress", "completed")]
    model_server.replies(*(Reply(body=json.dumps(answer).encode()) for answer in answers))
    with budgeted(telemetry, hosts=to_hosts("127.0.0.1=gcp.gemini")):
        body = {**test_gemini_interactions.ASK, "background": True}
        requests.post(f"{model_server.url}/v1beta/interactions", json=body, timeout=9)
        requests.get(f"{model_server.url}/v1beta/interactions/int_1", timeout=9)
    assert telemetry.total("agentcost.cost") == test_gemini_interactions.USD


def test_a_model_call_of_an_sdk_that_cannot_read_it_is_not_missed(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """anthropic's client posts to the path of another provider: HTTP sees it, also while an SDK may read something."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [choice], "usage": usage}
    model_server.responder = lambda _: json_reply(body)
    ask: Any = {"model": "gpt-4o-mini", "messages": [], "max_tokens": 1000}
    with (
        budgeted(telemetry, hosts=to_hosts("127.0.0.1=openai"), budgets="total:usd=0.0015"),
        anthropic.Anthropic(base_url=model_server.url, api_key="none", max_retries=0) as made,
    ):
        for _ in range(2):
            made.post("/v1/chat/completions", body=ask, cast_to=object)
        with pytest.raises(anthropic.APIConnectionError) as refused:
            made.post("/v1/chat/completions", body=ask, cast_to=object)
    assert isinstance(refused.value.__cause__, BudgetExceeded)
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * 0.00075)


def test_a_task_that_begins_while_something_is_read_is_seen(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It keeps the context, and not the reading."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
    body = {"id": "x", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [], "usage": usage}
    model_server.responder = lambda _: json_reply(body)
    later: list[asyncio.Task[Any]] = []

    async def call() -> None:
        await asyncio.sleep(0.05)
        async with httpx.AsyncClient() as client:
            await client.post(f"{model_server.url}/v1/chat/completions", json={"model": "gpt-4o-mini", "messages": []})

    async def begins(_request: Any) -> None:
        later.append(asyncio.create_task(call()))

    async def main() -> None:
        hooks: Any = {"request": [begins]}
        async with anthropic.AsyncAnthropic(
            base_url=model_server.url, api_key="none", http_client=httpx2.AsyncClient(event_hooks=hooks)
        ) as made:
            await made.get("/v1/models", cast_to=object)
            await asyncio.gather(*later)

    with budgeted(telemetry, hosts=to_hosts("127.0.0.1=openai")):
        asyncio.run(main())
    assert telemetry.total("agentcost.cost") == pytest.approx(0.00075)


@of_all
def test_a_session_that_is_read_before_its_first_event_is_priced(
    telemetry: Telemetry, model_server: ModelServer, get: Get
) -> None:
    """What another program had used of it until then is taken off, though nothing was begun here."""
    sessions = test_anthropic_sessions.Provider()
    sessions.turns = 7
    model_server.responder = sessions
    address = f"{model_server.url}/v1/sessions/sesn_1"
    with budgeted(telemetry, hosts=to_hosts("127.0.0.1=anthropic")):
        get(address, {})
        httpx.post(f"{address}/events", json={"events": [test_anthropic_sessions.EVENT]})
        for _ in range(3):
            get(address, {})
    assert telemetry.total("agentcost.cost") == pytest.approx(test_anthropic_sessions.TURN)
