"""Budgets hold for requests of HTTP clients: nothing is sent that is refused, streams are cut off, bodies rewritten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from otel_agentcost import BudgetExceeded
from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import ASK, BY_NAME
from tests.integrations.http.senders import CLIENTS, SENDERS
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, sse_reply

Start = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def start(telemetry: Telemetry) -> Iterator[Callable[..., None]]:
    """Instruments with the settings that it is given."""
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(
            instrumented(telemetry, settings=Settings(hosts=to_hosts("127.0.0.1=openai"), **more))
        )


def url_of(server: ModelServer) -> str:
    return f"{server.url}/v1/chat/completions"


BODY: dict[str, Any] = {**BY_NAME["openai chat"].body, "max_tokens": 100}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_refused_call_is_not_sent(
    name: str, model_server: ModelServer, telemetry: Telemetry, start: Callable[..., None]
) -> None:
    """The client raises what an SDK would raise."""
    start(budgets="total:calls=1")
    model_server.replies(replies.chat_reply())
    SENDERS[name](url_of(model_server), BODY)
    with pytest.raises(BudgetExceeded) as caught:
        SENDERS[name](url_of(model_server), BODY)
    assert caught.value.limit == 1
    assert len(model_server.requests) == 1
    assert (telemetry.spans[-1].attributes or {})["error.type"] == "otel_agentcost.BudgetExceeded"
    model_server.replies(replies.chat_reply())
    assert SENDERS[name](f"{model_server.url}/v1/models", BODY)  # requests that are no calls pass


@pytest.mark.parametrize("name", CLIENTS)
def test_a_clamped_call_is_sent_with_a_lower_limit(
    name: str, model_server: ModelServer, start: Callable[..., None]
) -> None:
    """The headers say how long the changed body is; the body of the application stays as it is."""
    start(budgets="total:tokens=300,on_exceed=clamp")
    model_server.replies(replies.chat_reply())
    body = {**BODY, "messages": [{"role": "user", "content": "What?"}], "max_tokens": 5000, "user": "zoë"}
    SENDERS[name](url_of(model_server), body)
    (request,) = model_server.requests
    assert int(request.headers["content-length"]) == len(request.body)
    assert 0 < request.json["max_tokens"] < 300
    assert {**request.json, "max_tokens": 5000} == body


@pytest.mark.parametrize("name", CLIENTS)
def test_a_downgraded_call_goes_to_the_cheaper_model(
    name: str, model_server: ModelServer, telemetry: Telemetry, start: Callable[..., None]
) -> None:
    """Also where the address names the model, as Azure's does."""
    start(budgets="total:usd=0.002,on_exceed=downgrade", downgrade="gpt-4o=gpt-4o-mini")
    model_server.replies(replies.chat_reply(), replies.chat_reply())
    SENDERS[name](url_of(model_server), {**BODY, "model": "gpt-4o", "max_tokens": 1000})
    SENDERS[name](f"{model_server.url}/openai/deployments/gpt-4o/chat/completions?x=1", {**BODY, "max_tokens": 1000})
    assert model_server.requests[0].json["model"] == "gpt-4o-mini"
    assert model_server.requests[1].path == "/openai/deployments/gpt-4o-mini/chat/completions?x=1"
    assert [(span.attributes or {})["agentcost.downgraded_from"] for span in telemetry.spans] == ["gpt-4o"] * 2


def test_a_signed_request_is_not_rewritten(model_server: ModelServer, start: Callable[..., None]) -> None:
    """Its signature would be wrong. So the budget blocks it."""
    start(budgets="total:tokens=300,on_exceed=clamp")
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    with pytest.raises(BudgetExceeded):
        requests.post(url_of(model_server), json={**BODY, "max_tokens": 5000}, headers=headers, timeout=9)
    assert model_server.requests == []


ENDLESS = [{"id": "x", "model": "gpt-4o-mini", "choices": [{"index": 0, "delta": {"content": "word " * 50}}]}] * 200


def _read_httpx(url: str, body: dict[str, Any]) -> None:
    with httpx.stream("POST", url, json=body) as response:
        for _ in response.iter_lines():
            pass


def _read_requests(url: str, body: dict[str, Any]) -> None:
    with requests.post(url, json=body, stream=True, timeout=9) as response:
        for _ in response.iter_lines():
            pass


def _read_urllib3(url: str, body: dict[str, Any]) -> None:
    with urllib3.PoolManager() as pool:
        for _ in pool.request("POST", url, body=json.dumps(body), preload_content=False).stream(512):
            pass


def _read_aiohttp(url: str, body: dict[str, Any]) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            async for _ in response.content:
                pass

    asyncio.run(main())


@pytest.mark.parametrize("read", [_read_httpx, _read_requests, _read_urllib3, _read_aiohttp])
def test_a_stream_that_outruns_its_budget_is_cut_off(
    read: Callable[[str, dict[str, Any]], None],
    model_server: ModelServer,
    telemetry: Telemetry,
    start: Callable[..., None],
) -> None:
    """As that of an SDK: the application gets the exception, and the connection is closed."""
    start(budgets="total:tokens=700", unlimited_output="rest")
    model_server.replies(sse_reply(ENDLESS, pause=0.01))
    with pytest.raises(BudgetExceeded):
        read(url_of(model_server), {"model": "gpt-4o-mini", "messages": ASK, "stream": True})
    attributes = telemetry.attributes()
    assert attributes["agentcost.usage.estimated"] is True
    assert int(str(attributes["gen_ai.usage.output_tokens"])) < 2000


def test_the_switch_ends_it(model_server: ModelServer, telemetry: Telemetry, start: Callable[..., None]) -> None:
    """With `HTTP=off`, no request is a call, and no budget counts it."""
    start(budgets="total:calls=1", http="off")
    for _ in range(3):
        model_server.replies(replies.chat_reply())
        assert json.loads(SENDERS["httpx"](url_of(model_server), BODY))["choices"]
    assert telemetry.spans == ()
