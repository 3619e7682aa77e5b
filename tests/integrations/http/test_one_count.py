"""One call is counted once, whatever lies above or below: SDKs, requests over urllib3, redirects, retries, tasks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from openai import AsyncOpenAI, OpenAI
from opentelemetry import trace

from otel_agentcost.calls.call import CURRENT
from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import ASK, BY_NAME
from tests.integrations.http.senders import CLIENTS, SENDERS
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply

OWN = "127.0.0.1=openai"


@pytest.fixture(autouse=True)
def ours(telemetry: Telemetry) -> Iterator[None]:
    with instrumented(telemetry, settings=Settings(hosts=to_hosts(OWN))):
        yield


def url_of(server: ModelServer) -> str:
    return f"{server.url}/v1/chat/completions"


BODY = BY_NAME["openai chat"].body


def test_calls_of_sdks_are_counted_once(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Although the SDK's address is one of the settings', and a retry is sent in between."""
    chat = f"{model_server.url}/v1"
    model_server.replies(json_reply({}, status=500), replies.chat_reply())
    with OpenAI(base_url=chat, api_key="none", max_retries=1) as openai:
        openai.chat.completions.create(**BODY)
        model_server.replies(replies.chat_stream(replies.PLAIN))
        list(openai.chat.completions.create(**BODY, stream=True))
    model_server.replies(json_reply(replies.message()))
    with Anthropic(base_url=model_server.url, api_key="none") as claude:
        claude.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=ASK)
    model_server.replies(json_reply(replies.content()))
    with genai.Client(api_key="none", http_options={"base_url": model_server.url}) as gemini:
        gemini.models.generate_content(model="gemini-2.5-flash", contents="What?")

    async def asynchronous() -> None:
        model_server.replies(replies.chat_reply())
        async with AsyncOpenAI(base_url=chat, api_key="none") as openai:
            await openai.chat.completions.create(**BODY)
        model_server.replies(replies.message_stream())
        async with (
            AsyncAnthropic(base_url=model_server.url, api_key="none") as made,
            made.messages.stream(model="claude-sonnet-4-6", max_tokens=9, messages=ASK) as stream,
        ):
            await stream.get_final_message()
        model_server.replies(json_reply(replies.content()))
        async with genai.Client(api_key="none", http_options={"base_url": model_server.url}).aio as google:
            await google.models.generate_content(model="gemini-2.5-flash", contents="What?")

    asyncio.run(asynchronous())
    names = [span.name for span in telemetry.spans if span.attributes and "agentcost.cost.usd" in span.attributes]
    assert len(names) == len(telemetry.spans) == 7, [span.name for span in telemetry.spans]


def test_other_requests_of_sdks_are_no_calls(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Files, lists of models."""
    model_server.responder = lambda _: json_reply({"id": "file-1", "object": "file", "data": []})
    with OpenAI(base_url=f"{model_server.url}/v1", api_key="none") as made:
        made.files.create(file=b"{}", purpose="batch")
        made.models.list()
    assert telemetry.spans == ()


def test_requests_over_urllib3_is_one_call(model_server: ModelServer, telemetry: Telemetry) -> None:
    """urllib3 lies under requests, and both are patched."""
    model_server.replies(replies.chat_reply())
    requests.post(url_of(model_server), json=BODY, timeout=9)
    assert telemetry.span().name == "chat gpt-4o-mini"


def test_what_a_session_of_requests_sends_itself_is_seen_below(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A prepared request, read whole and in pieces: in urllib3."""
    with requests.Session() as session:
        for stream in (False, True):
            model_server.replies(replies.chat_reply())
            prepared = session.prepare_request(requests.Request("POST", url_of(model_server), json=BODY))
            assert session.send(prepared, stream=stream).json() == replies.chat()
    costs = [(span.attributes or {}).get("agentcost.cost.usd") for span in telemetry.spans]
    assert costs == [replies.PLAIN_USD] * 2


@pytest.mark.parametrize("name", CLIENTS)
def test_a_redirect_belongs_to_the_call(name: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """The provider bills the last response."""
    model_server.replies(Reply(status=307, headers={"Location": url_of(model_server)}), replies.chat_reply())
    url = f"{model_server.url}/old/chat/completions"
    if name.startswith("httpx"):
        library = httpx if not name.startswith("httpx2") else __import__("httpx2")
        if name.endswith("async"):

            async def send() -> None:
                async with library.AsyncClient(follow_redirects=True) as client:
                    await client.post(url, json=BODY)

            asyncio.run(send())
        else:
            library.post(url, json=BODY, follow_redirects=True)
    else:
        SENDERS[name](url, BODY)
    assert len(model_server.requests) == 2
    assert telemetry.attributes()["agentcost.cost.usd"] == replies.PLAIN_USD


def test_authentication_and_retries_belong_to_the_call(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A digest needs two requests; urllib3 retries by itself."""
    challenge = Reply(status=401, headers={"WWW-Authenticate": 'Digest realm="x", nonce="n", qop="auth"'})
    model_server.replies(challenge, replies.chat_reply())
    httpx.post(url_of(model_server), json=BODY, auth=httpx.DigestAuth("u", "p"))
    model_server.replies(Reply(status=503), replies.chat_reply())
    retry = urllib3.Retry(total=3, status_forcelist=[503], allowed_methods=None)
    urllib3.PoolManager().request("POST", url_of(model_server), json=BODY, retries=retry)
    assert len(model_server.requests) == 4
    costs = [(span.attributes or {}).get("agentcost.cost.usd") for span in telemetry.spans]
    assert costs == [replies.PLAIN_USD] * 2


def test_a_call_in_a_span_of_another_instrumentation_is_left_to_it(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """OpenLLMetry's for groq, say: its span is charged from its attributes, and the request is not a second call."""
    tracer = telemetry.tracer_provider.get_tracer("opentelemetry.instrumentation.groq")
    model_server.replies(replies.chat_reply())
    attributes = {
        "gen_ai.system": "groq",
        "gen_ai.request.model": "llama-3.3-70b-versatile",
        "llm.request.type": "chat",
    }
    with tracer.start_as_current_span("groq.chat", kind=trace.SpanKind.CLIENT, attributes=attributes) as span:
        httpx.post(url_of(model_server), json=BODY)
        span.set_attributes({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50})
    assert [span.name for span in telemetry.spans] == ["groq.chat"]
    model_server.replies(replies.chat_reply())
    httpx.post(url_of(model_server), json=BODY)
    assert [span.name for span in telemetry.spans] == ["groq.chat", "chat gpt-4o-mini"]


def test_a_task_that_outlives_the_call_in_which_it_began_makes_calls_of_its_own(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A context variable goes with a task for ever."""
    model_server.responder = lambda _: replies.chat_reply()

    async def main() -> None:
        began = asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        async def later() -> None:
            await began.wait()
            assert CURRENT.get() is not None
            async with aiohttp.ClientSession() as session, session.post(url_of(model_server), json=BODY) as response:
                await response.read()

        async def hook(_: httpx.Request) -> None:
            tasks.append(asyncio.create_task(later()))

        async with httpx.AsyncClient(event_hooks={"request": [hook]}) as client:
            await client.post(url_of(model_server), json=BODY)
        began.set()
        await tasks[0]

    asyncio.run(main())
    assert [span.name for span in telemetry.spans] == ["chat gpt-4o-mini"] * 2


def test_many_threads(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Each call is one span, and gets its own answer."""

    def respond(request: Request) -> Reply:
        asked = request.json["messages"][0]["content"]
        return replies.chat_reply({"prompt_tokens": int(asked), "completion_tokens": 10, "total_tokens": 0})

    model_server.responder = respond

    def work(first: int) -> None:
        for number in range(first, first + 5):
            body: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": str(number)}]}
            for name in ("httpx", "requests", "urllib3 streamed"):
                assert json.loads(SENDERS[name](url_of(model_server), body))["usage"]["prompt_tokens"] == number

    threads = [threading.Thread(target=work, args=(100 + 5 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = sorted(int(str((span.attributes or {})["gen_ai.usage.input_tokens"])) for span in telemetry.spans)
    assert counted == sorted(list(range(100, 120)) * 3)
