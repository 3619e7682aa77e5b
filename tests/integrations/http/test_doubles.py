"""Test doubles of HTTP clients keep working, and calls to them count where they answer below the patched method."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests
import requests_mock
import responses
import respx
import vcr  # type: ignore[import-untyped]
from pytest_httpx import HTTPXMock

from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import BY_NAME
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

URL = "https://api.openai.com/v1/chat/completions"
BODY = BY_NAME["openai chat"].body
ANSWER = replies.chat()


@pytest.fixture(autouse=True)
def ours(telemetry: Telemetry) -> Iterator[None]:
    with instrumented(telemetry, settings=Settings(hosts=to_hosts("127.0.0.1=openai"))):
        yield


def counted(telemetry: Telemetry, times: int = 1) -> bool:
    costs = [(span.attributes or {}).get("agentcost.cost.usd") for span in telemetry.spans]
    return costs == [replies.PLAIN_USD] * times


def test_respx(telemetry: Telemetry) -> None:
    """It stands in for the transport."""
    with respx.mock:
        route = respx.post(URL).mock(return_value=httpx.Response(200, json=ANSWER))
        assert httpx.post(URL, json=BODY).json() == ANSWER
        with httpx.stream("POST", URL, json=BODY) as response:
            assert json.loads(response.read()) == ANSWER
    assert route.call_count == 2
    assert json.loads(route.calls.last.request.content) == BODY
    assert counted(telemetry, 2), [dict(span.attributes or {}) for span in telemetry.spans]


def test_pytest_httpx(httpx_mock: HTTPXMock, telemetry: Telemetry) -> None:
    """It stands in for the transport, too."""
    httpx_mock.add_response(url=URL, method="POST", json=ANSWER, match_json=dict(BODY))
    assert httpx.post(URL, json=BODY).json() == ANSWER
    assert counted(telemetry)


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_mock_transports(library: Any, telemetry: Telemetry) -> None:
    """httpx's own."""
    transport = library.MockTransport(lambda _: library.Response(200, json=ANSWER))
    with library.Client(transport=transport) as client:
        assert client.post(URL, json=BODY).json() == ANSWER
        with client.stream("POST", URL, json=BODY) as response:
            assert json.loads(response.read()) == ANSWER
    async with library.AsyncClient(transport=transport) as client:
        assert (await client.post(URL, json=BODY)).json() == ANSWER
    assert counted(telemetry, 3)


def test_requests_mock(telemetry: Telemetry) -> None:
    """It stands in for `Session.send`, with the one that it found when it was imported."""
    with requests_mock.Mocker() as mock:
        mock.post(URL, json=ANSWER)
        assert requests.post(URL, json=BODY, timeout=9).json() == ANSWER
        with requests.post(URL, json=BODY, stream=True, timeout=9) as response:
            assert json.loads(b"".join(response.iter_content(3))) == ANSWER
        assert mock.call_count == 2
    assert counted(telemetry, 2), [dict(span.attributes or {}) for span in telemetry.spans]


def test_responses(telemetry: Telemetry) -> None:
    """It stands in for the adapter."""
    with responses.RequestsMock() as mock:
        mock.post(URL, json=ANSWER)
        assert requests.post(URL, json=BODY, timeout=9).json() == ANSWER
        with requests.post(URL, json=BODY, stream=True, timeout=9) as response:
            assert json.loads(b"".join(response.iter_content(3))) == ANSWER
    assert counted(telemetry, 2), [dict(span.attributes or {}) for span in telemetry.spans]


def test_vcr_records_and_replays(tmp_path: Path, model_server: ModelServer, telemetry: Telemetry) -> None:
    """What is recorded is what the server sent; a replay counts as the call that it stands for."""
    model_server.replies(replies.chat_reply(), replies.chat_reply())
    url = f"{model_server.url}/v1/chat/completions"
    for _ in range(2):
        with vcr.use_cassette(str(tmp_path / "calls.yaml"), allow_playback_repeats=True):
            assert requests.post(url, json=BODY, timeout=9).json() == ANSWER
            assert httpx.post(url, json=BODY).json() == ANSWER
    assert len(model_server.requests) in (1, 2)
    assert counted(telemetry, 4)
