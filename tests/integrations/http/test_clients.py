"""Model calls of plain HTTP clients: the dollars of the SDKs, and every byte as without us."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from otel_agentcost.settings import Settings
from tests.integrations.http.providers import BY_NAME, PROVIDERS, Provider
from tests.integrations.http.senders import CLIENTS, SENDERS, led_to_local
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply

FIGURES = (
    "agentcost.cost.usd",
    "agentcost.unpriced",
    "agentcost.usage.estimated",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "server.address",
)


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host is this machine."""
    led_to_local(monkeypatch)


@pytest.fixture
def spans(telemetry: Telemetry) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Instruments, and returns a function for the figures of the spans since its last call."""

    def figures() -> list[dict[str, Any]]:
        found = [{name: (span.attributes or {}).get(name) for name in FIGURES} for span in telemetry.spans]
        telemetry.clear()
        return found

    with instrumented(telemetry, settings=Settings()):
        yield figures


def port_of(server: ModelServer) -> str:
    return server.url.rpartition(":")[2]


def request_of(provider: Provider, *, streamed: bool) -> tuple[str, Mapping[str, Any], Reply]:
    """The path, the body and the reply of one request."""
    if not streamed:
        return provider.path, provider.body, provider.whole
    assert provider.streamed is not None
    return provider.streaming_path or provider.path, {**provider.body, **(provider.streaming or {})}, provider.streamed


def bytes_of(reply: Reply) -> bytes:
    if reply.chunks is None:
        return reply.body
    return b"".join(chunk for chunk in reply.chunks if isinstance(chunk, bytes))


CASES = [
    pytest.param(provider, streamed, id=f"{provider.name}{' streamed' if streamed else ''}")
    for provider in PROVIDERS
    for streamed in (False, True)
    if not streamed or provider.streamed is not None
]


@pytest.mark.parametrize(("provider", "streamed"), CASES)
def test_dollars_and_bytes_are_those_of_the_sdk(
    provider: Provider, streamed: bool, model_server: ModelServer, spans: Callable[[], list[dict[str, Any]]]
) -> None:
    """With every client and every way to read: one span, the figures of the SDK's span, the provider's bytes."""
    path, body, reply = request_of(provider, streamed=streamed)
    address = f"{provider.address}:{port_of(model_server)}"
    model_server.replies(reply)
    provider.sdk(address, {**body, "stream": True} if streamed else body)
    (wanted,) = spans()
    assert wanted["agentcost.cost.usd"], wanted
    for name, send in SENDERS.items():
        model_server.replies(reply)
        got = send(f"{address}{path}", body)
        assert got == bytes_of(reply), name
        assert json.loads(model_server.requests[-1].body) == body
        assert spans() == [wanted], name


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("streamed", [False, True])
def test_compressed_bodies_are_read_aside(
    encoding: str, streamed: bool, model_server: ModelServer, spans: Callable[[], list[dict[str, Any]]]
) -> None:
    """What the application gets is decompressed as by the client alone."""
    provider = BY_NAME["openai chat"]
    path, body, reply = request_of(provider, streamed=streamed)
    packed = ENCODINGS[encoding](bytes_of(reply))
    pieces: list[bytes | float] = [packed[:20], packed[20:50], packed[50:]]
    compressed = replace(reply, headers={"Content-Encoding": encoding}, body=packed)
    if streamed:
        compressed = replace(compressed, chunks=pieces)
    for name, send in SENDERS.items():
        model_server.replies(compressed)
        assert send(f"{provider.address}:{port_of(model_server)}{path}", body) == bytes_of(reply), name
        (span,) = spans()
        assert span["agentcost.cost.usd"] == 0.000045, (name, span)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_session_that_does_not_decompress_is_not_missed(
    encoding: str, model_server: ModelServer, spans: Callable[[], list[dict[str, Any]]]
) -> None:
    """aiohttp has taken a short response from its session before anybody looks at it."""
    provider = BY_NAME["openai chat"]
    path, body, reply = request_of(provider, streamed=False)
    packed = ENCODINGS[encoding](bytes_of(reply))
    model_server.replies(replace(reply, headers={"Content-Encoding": encoding}, body=packed))

    async def post() -> bytes:
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.post(f"{provider.address}:{port_of(model_server)}{path}", json=body) as response,
        ):
            return await response.read()

    assert asyncio.run(post()) == packed
    (span,) = spans()
    assert span["agentcost.cost.usd"] == 0.000045


@pytest.mark.parametrize("name", CLIENTS)
def test_a_refused_request_costs_nothing(
    name: str, model_server: ModelServer, telemetry: Telemetry, spans: Callable[[], list[dict[str, Any]]]
) -> None:
    """The span has the status. The application reads the provider's error itself."""
    del spans
    error = Reply(status=429, body=b'{"error": {"message": "slow down"}}')
    model_server.replies(error)
    provider = BY_NAME["openai chat"]
    got = SENDERS[name](f"{provider.address}:{port_of(model_server)}{provider.path}", provider.body)
    assert got == error.body
    attributes = telemetry.attributes()
    assert attributes["error.type"] == "429"
    assert "agentcost.unpriced" not in attributes
    assert telemetry.span().status.status_code.name == "ERROR"


@pytest.mark.parametrize("name", CLIENTS)
def test_other_requests_are_left_alone(
    name: str, model_server: ModelServer, spans: Callable[[], list[dict[str, Any]]]
) -> None:
    """Other hosts, other paths of a provider, and bodies that name no model at a path that others have too."""
    port = port_of(model_server)
    others: list[tuple[str, dict[str, Any]]] = [
        (f"http://example.com:{port}/v1/chat/completions", {"model": "gpt-4o", "messages": []}),
        (f"http://api.openai.com:{port}/v1/files", {"model": "gpt-4o"}),
        (f"http://acme.azure-api.net:{port}/surveys/responses", {"answers": [1, 2]}),
        (f"http://127.0.0.1:{port}/v1/chat/completions", {"model": "gpt-4o", "messages": []}),
    ]
    for url, body in others:
        model_server.replies(Reply(body=b"{}"))
        assert SENDERS[name](url, body) == b"{}"
    assert spans() == []
