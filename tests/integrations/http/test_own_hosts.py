"""Own hosts that no model call goes to are told, once: `OTEL_AGENTCOST_HOSTS` is never without an effect in silence."""

from __future__ import annotations

import httpx
import pytest

from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import BY_NAME
from tests.integrations.sdks import test_unfinished_answers
from tests.support import replies
from tests.support.call_shapes import instrumented, warnings_of_ours
from tests.support.in_memory import Telemetry

BODY = BY_NAME["openai chat"].body
COMPLETIONS = "/v1/chat/completions"


def told(telemetry: Telemetry, hosts: str, *urls: str, times: int = 130) -> list[str]:
    """What is logged of `hosts` while requests go to `urls` in turn."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=replies.chat()))
    settings = Settings(hosts=to_hosts(hosts))
    client = httpx.Client(transport=transport)
    with warnings_of_ours() as warned, instrumented(telemetry, settings=settings), client:
        for number in range(times):
            client.post(urls[number % len(urls)], json=BODY)
    return [line for line in warned if "OTEL_AGENTCOST_HOSTS has" in line]


def test_a_host_that_nobody_asks_is_told(telemetry: Telemetry) -> None:
    """With the hosts that are asked."""
    (line,) = told(telemetry, "llm.internel=openai", f"http://llm.internal{COMPLETIONS}", "http://search.internal/find")
    assert "has llm.internel=openai, but none of the first 100 POST requests went there" in line
    assert "They went to llm.internal, search.internal. Correct the host" in line


def test_a_port_or_path_that_fits_no_request_is_told(telemetry: Telemetry) -> None:
    """With the places that are asked, without what is secret in an address."""
    (line,) = told(telemetry, "10.0.0.5:8000=openai", f"http://me:secret@10.0.0.5:8001{COMPLETIONS}?key=secret")
    assert "has 10.0.0.5:8000=openai, but none of the first 100 requests there was a model call" in line
    assert f"They went to 10.0.0.5:8001{COMPLETIONS}. Correct the port or path" in line
    (line,) = told(telemetry, "llm.internal=openai", "https://llm.internal/generate")
    assert "They went to llm.internal/generate." in line


@pytest.mark.parametrize(
    ("hosts", "urls"),
    [
        ("llm.internal=openai", [f"https://a.llm.internal{COMPLETIONS}", "https://llm.internal/login"]),
        ("llm.internal:443=openai", [f"https://llm.internal{COMPLETIONS}", "https://search.internal/find"]),
        ("a.internal=openai,b.internal=openai", [f"https://{name}.internal{COMPLETIONS}" for name in "ab"]),
    ],
)
def test_hosts_with_model_calls_are_not_told(telemetry: Telemetry, hosts: str, urls: list[str]) -> None:
    """Whatever else is sent, also to them."""
    assert told(telemetry, hosts, *urls) == []
    assert telemetry.spans


def test_fewer_requests_tell_nothing(telemetry: Telemetry) -> None:
    """The calls may be still to come."""
    assert told(telemetry, "llm.internel=openai", "http://search.internal/find", times=99) == []


def test_what_is_read_is_not_counted(telemetry: Telemetry) -> None:
    """Requests that read something are no calls, also while the answer to an earlier call is awaited."""
    queued = test_unfinished_answers.response("queued")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=queued))
    settings = Settings(hosts=to_hosts("llm.internel=openai,llm.internal=openai"))
    client = httpx.Client(transport=transport)
    with warnings_of_ours() as warned, instrumented(telemetry, settings=settings), client:
        client.post("https://llm.internal/v1/responses", json=test_unfinished_answers.ASK)
        for _ in range(300):
            client.get("https://llm.internal/v1/responses/resp_1")
            client.get("https://search.internal/find")
            client.get("https://llm.internel/v1/models")
        assert [line for line in warned if "OTEL_AGENTCOST_HOSTS has" in line] == []
        for _ in range(100):
            client.post("https://search.internal/find", json={})
        (line,) = [line for line in warned if "OTEL_AGENTCOST_HOSTS has" in line]
    assert "has llm.internel=openai, but none of the first 100 POST requests went there" in line
    assert "They went to search.internal." in line
