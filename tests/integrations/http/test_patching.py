"""The patches: they come and go without a trace, whatever is imported first, and copies stay what they were."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from otel_agentcost.integrations import http
from otel_agentcost.integrations.http import _addresses
from otel_agentcost.integrations.http._addresses import Addresses
from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import BY_NAME
from tests.integrations.http.senders import CLIENTS, SENDERS
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

OURS = Settings(hosts=to_hosts("127.0.0.1=openai"))
BODY = BY_NAME["openai chat"].body
METHODS = [(sys.modules, send.target) for client in http.discover() if client.name != "dspy" for send in client.sends]
"""Those of the clients that are here; DSPy is in an environment of its own (`test_dspy.py`)."""


def url_of(server: ModelServer) -> str:
    return f"{server.url}/v1/chat/completions"


def methods() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for modules, target in METHODS:
        holder = getattr(modules[target.module], target.owner)
        found[f"{target.module}.{target.owner}"] = holder.__dict__[target.method_name(holder)]
    return found


def test_every_client_is_found_by_its_file() -> None:
    """A new client is one file."""
    assert {client.name for client in http.discover()} == {"httpx", "httpx2", "requests", "urllib3", "aiohttp", "dspy"}


def test_uninstrument_restores_the_very_functions(telemetry: Telemetry) -> None:
    """And while they are replaced, they look like themselves: name, signature, pickle."""
    before = methods()
    with instrumented(telemetry, settings=OURS):
        inside = methods()
        for name, method in inside.items():
            assert method is not before[name]
            assert inspect.isfunction(method)
            assert inspect.signature(method) == inspect.signature(before[name])
            assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(before[name])
            assert (method.__name__, method.__qualname__, method.__doc__, method.__module__) == (
                before[name].__name__,
                before[name].__qualname__,
                before[name].__doc__,
                before[name].__module__,
            )
            assert pickle.loads(pickle.dumps(method)) is method
    assert methods() == before


def test_the_switch_patches_nothing(telemetry: Telemetry) -> None:
    """`HTTP=off` leaves every client as it is."""
    before = methods()
    with instrumented(telemetry, settings=Settings(http="off")):
        assert methods() == before


@pytest.mark.parametrize("name", ["httpx", "httpx2", "requests", "urllib3", "aiohttp"])
def test_a_client_may_be_imported_before_or_after(name: str) -> None:
    """And nothing is imported that the application does not import."""
    module = {"httpx": "httpx._client", "httpx2": "httpx2._client", "requests": "requests.sessions"}.get(name)
    module = module or {"urllib3": "urllib3.connectionpool", "aiohttp": "aiohttp.client"}[name]
    owner = {"requests": "Session", "urllib3": "HTTPConnectionPool", "aiohttp": "ClientSession"}.get(name, "Client")
    method = {"urllib3": "urlopen", "aiohttp": "_request", "requests": "request"}.get(name, "send")
    script = f"""
import sys
from otel_agentcost import instrument, uninstrument
from importlib import import_module
def patched():
    return hasattr(getattr(getattr(sys.modules["{module}"], "{owner}"), "{method}"), "__wrapped__")
instrument()
assert not {{"httpx", "httpx2", "requests", "urllib3", "aiohttp"}} & sys.modules.keys(), sys.modules.keys()
import {name}
assert patched()
uninstrument()
assert not patched()
instrument()
assert patched()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_copies_and_pickles_are_as_without_us(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Of responses and of sessions."""
    model_server.responder = lambda _: replies.chat_reply()
    with instrumented(telemetry, settings=OURS):
        whole = requests.post(url_of(model_server), json=BODY, timeout=9)
        streamed = requests.post(url_of(model_server), json=BODY, stream=True, timeout=9)
        for response in (whole, streamed):
            assert pickle.loads(pickle.dumps(response)).json() == replies.chat()
            assert copy.copy(response).json() == replies.chat()
        answer = httpx.post(url_of(model_server), json=BODY)
        with httpx2.Client() as client:
            other = client.send(client.build_request("POST", url_of(model_server), json=BODY), stream=True)
            other.read()
        for each in (answer, other):
            assert pickle.loads(pickle.dumps(each)).json() == replies.chat()
        session = pickle.loads(pickle.dumps(requests.Session()))
        assert session.post(url_of(model_server), json=BODY, timeout=9).json() == replies.chat()
        assert pickle.loads(pickle.dumps(session.request)).__func__ is requests.Session.request
    assert len(telemetry.spans) == 5


def test_objects_are_of_the_same_types(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The stream of aiohttp is a stream of aiohttp, with all that one has."""
    model_server.responder = lambda _: replies.chat_reply()
    with instrumented(telemetry, settings=OURS):
        assert type(requests.post(url_of(model_server), json=BODY, timeout=9)) is requests.Response
        assert type(urllib3.request("POST", url_of(model_server), json=BODY)) is urllib3.HTTPResponse
        assert type(httpx.post(url_of(model_server), json=BODY)) is httpx.Response

        async def main() -> None:
            async with aiohttp.ClientSession() as session, session.post(url_of(model_server), json=BODY) as response:
                content = response.content
                assert isinstance(content, aiohttp.StreamReader)
                assert content.total_bytes >= 0
                assert not content.at_eof()
                assert "StreamReader" in repr(content)
                assert await content.readexactly(1) == b"{"
                assert await content.readany()
                assert content.at_eof()
                assert content.is_eof()
                assert content.read_nowait() == b""

        asyncio.run(main())
    assert [(span.attributes or {})["agentcost.cost.usd"] for span in telemetry.spans] == [replies.PLAIN_USD] * 4


@pytest.mark.parametrize("name", CLIENTS)
def test_failures_of_the_package_do_not_reach_the_application(
    name: str, model_server: ModelServer, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose reading fails is sent as it is."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    model_server.replies(replies.chat_reply())
    with instrumented(telemetry, settings=OURS):
        monkeypatch.setattr(Addresses, "place", broken)
        assert SENDERS[name](url_of(model_server), BODY)
    assert telemetry.spans == ()


def test_what_is_no_request_fails_as_without_us(telemetry: Telemetry) -> None:
    """The client's own exception."""

    nothing: Any = None
    address = "http://127.0.0.1/v1/chat/completions"
    not_prepared: Any = requests.Request("POST", address)
    wrong: Any = {"bogus": 1}

    def failures() -> list[str]:
        found: list[str] = []
        attempts: list[Callable[[], Any]] = [
            lambda: requests.Session().send(not_prepared),
            lambda: requests.post("nowhere", json={}, timeout=9),
            lambda: httpx.Client().send(nothing),
            lambda: httpx.post("/v1/chat/completions", json={}),
            lambda: urllib3.PoolManager().urlopen("POST", nothing),
            lambda: requests.Session().request("POST", address, *[nothing] * 20),
            lambda: requests.Session().request("POST", address, nothing, {"a": 1}, data={"a": 2}),  # type: ignore[misc] # pyright: ignore[reportCallIssue]
            lambda: requests.Session().request("POST", address, **wrong),
            lambda: urllib3.HTTPConnectionPool("127.0.0.1").urlopen("POST", "/v1/messages", *[nothing] * 20),
            lambda: urllib3.HTTPConnectionPool("127.0.0.1").urlopen("POST", "/v1/messages", b"", body=b"{}"),  # type: ignore[misc] # pyright: ignore[reportCallIssue]
            lambda: httpx.Client().send(httpx.Request("POST", address), **wrong),
        ]
        for attempt in attempts:
            with pytest.raises(Exception) as caught:
                attempt()
            found.append(f"{caught.type.__name__}: {caught.value}")
        return found

    without = failures()
    with instrumented(telemetry, settings=OURS):
        assert failures() == without


@pytest.mark.parametrize("method", ["POST", "post", "Post"])
async def test_the_method_may_be_written_in_any_way(
    method: str, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """aiohttp sends it in capitals."""
    model_server.replies(replies.chat_reply())
    with instrumented(telemetry, settings=OURS):
        async with aiohttp.ClientSession() as session, session.request(method, url_of(model_server), json=BODY) as got:
            assert got.status == 200
    assert model_server.requests[0].method == "POST"
    assert len(telemetry.spans) == 1


VERTEX = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://api.openai.com/v1/chat/completions", ("openai", "openai_chat", "https://api.openai.com/v1")),
        (
            "https://API.OpenAI.com:443/v1/responses/?a=b#c",
            ("openai", "openai_responses", "https://API.OpenAI.com:443/v1"),
        ),
        ("https://eu.api.openai.com/v1/embeddings", ("openai", "openai_embeddings", "https://eu.api.openai.com/v1")),
        (
            "https://api.anthropic.com/v1/messages/batches",
            ("anthropic", "anthropic_batches", "https://api.anthropic.com"),
        ),
        ("https://api.anthropic.com/v1/messages/count_tokens", None),
        ("https://api.openai.com/v1/responses/resp_1/cancel", None),
        ("https://api.openai.com/v1/threads/t/runs", ("openai", "openai_runs", "https://api.openai.com/v1")),
        ("https://api.openai.com/v1/threads/t/runs/r/submit_tool_outputs", None),
        (
            "https://u:p@generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent",
            ("gcp.gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro"),
        ),
        (
            f"{VERTEX}/publishers/anthropic/models/claude-sonnet-4-6:streamRawPredict",
            ("gcp.vertex_ai", "anthropic_messages", VERTEX),
        ),
        ("https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/7:predict", None),
        (
            "https://api.cloudflare.com/client/v4/accounts/a/ai/v1/chat/completions",
            ("cloudflare", "openai_chat", "https://api.cloudflare.com/client/v4/accounts/a/ai/v1"),
        ),
        ("https://api.cloudflare.com/client/v4/accounts/a/queues/responses", None),
        ("https://llm.internal/v1/chat/completions", ("openai", "openai_chat", "https://llm.internal/v1")),
        ("http://llm.internal:8000/v1/messages", ("anthropic", "anthropic_messages", "http://llm.internal:8000")),
        ("https://tls.internal/v1/chat/completions", ("openai", "openai_chat", "https://tls.internal/v1")),
        ("http://tls.internal/v1/chat/completions", None),
        ("https://a.below.internal/v1/chat/completions", ("openai", "openai_chat", "https://a.below.internal/v1")),
        ("https://other.internal/v1/chat/completions", None),
        ("https://example.com/v1/chat/completions", None),
        ("http://[broken", None),
        ("", None),
    ],
)
def test_addresses(url: str, place: tuple[str, str, str] | None) -> None:
    """The provider, the format, and the address without what names the operation."""
    addresses = Addresses(
        to_hosts("llm.internal=openai,llm.internal:8000=anthropic,tls.internal:443=openai,.below.internal=openai")
    )
    found = addresses.place(url)
    assert (found[:3] if found is not None else None) == place


def test_memory_of_addresses_is_bounded() -> None:
    """A crawler sees a new host with each request."""
    addresses = Addresses(())
    for number in range(3 * _addresses._MOST):
        assert not addresses.posted.origins[f"https://host{number}.example.com"]
        assert addresses.place(f"https://host{number}.example.com/x") is None
    assert len(addresses.posted.origins) <= _addresses._MOST
    assert len(addresses.posted.hosts) <= _addresses._MOST
    assert len(addresses._places) <= _addresses._MOST
