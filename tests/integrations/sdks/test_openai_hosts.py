"""The openai SDK on other hosts (Azure, and all who copy the API), and clients that were made in other ways.

List prices in dollars per million tokens: llama-3.3-70b-versatile at Groq 0.59/0.79, deepseek-v3.1-terminus 0.27/0.95
(cached 0.13), Llama-3.3-70B-Instruct-Turbo at Together 0.88/0.88, gpt-4o-mini 0.15/0.60.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from tests.integrations.sdks.hosts import led, led_async
from tests.integrations.sdks.openai_shapes import ASK, QUESTION, WITH_USAGE, completed, whole
from tests.support.call_shapes import Shape, Spend, check_shape, check_span, instrumented, names
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import CACHED, CACHED_USD, MINI, PLAIN, PLAIN_USD, chat, chat_reply, chat_stream

USED = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}


def at(base_url: str, model: str) -> Callable[[str], Any]:
    """Asks `model` at `base_url`."""

    def run(url: str) -> Any:
        with OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=led(url)) as client:
            return client.chat.completions.create(model=model, messages=QUESTION)

    return run


def compatible(name: str, base_url: str, model: str, usage: Any, **spent: Any) -> Shape:
    """A provider that copies OpenAI's API."""
    spend: dict[str, Any] = {
        "name": f"chat {model}",
        "provider": name,
        "served": model,
        "input": 1000,
        "output": 50,
        **spent,
    }
    return Shape(name=name, run=at(base_url, model), replies=[chat_reply(usage, model=model)], spends=[Spend(**spend)])


HIT = {**USED, "prompt_cache_hit_tokens": 400, "prompt_cache_miss_tokens": 600}
HOSTS = [
    compatible(
        "groq",
        "https://api.groq.com/openai/v1",
        "llama-3.3-70b-versatile",
        USED,
        usd=0.0006295,  # 1000 x 0.59 + 50 x 0.79
    ),
    compatible(
        "deepseek",
        "https://api.deepseek.com",
        "deepseek-v3.1-terminus",  # not deepseek-chat, whose price depends on the time of day
        HIT,
        cache_read=400,
        usd=0.0002615,  # 600 x 0.27 + 400 x 0.13 + 50 x 0.95
    ),
    compatible(
        "together",
        "https://api.together.xyz/v1",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        USED,
        usd=0.000924,  # 1050 x 0.88
    ),
    compatible(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "openai/gpt-4o-mini",
        {**USED, "cost": 0.00123},
        usd=0.00123,
        source="provider",
    ),
    compatible(
        "openai",
        "https://api.openai.com/v1",
        "gpt-4o-mini",
        USED,
        usd=0.00018,  # 1000 x 0.15 + 50 x 0.60
    ),
    compatible("openai", "http://localhost:8000/v1", "my-own-model", USED, unpriced="my-own-model"),
]


@pytest.mark.parametrize("shape", HOSTS, ids=[f"{shape.name} {shape.spends[0].name}" for shape in HOSTS])
def test_compatible_hosts(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """The address says whose prices hold; what the provider reports as its cost goes before any price of ours."""
    check_shape(shape, model_server, telemetry)


def azure(url: str, **options: Any) -> AzureOpenAI:
    """A client for one Azure resource."""
    made: dict[str, Any] = {"api_key": "none", "api_version": "2024-10-21", "max_retries": 0, "http_client": led(url)}
    return AzureOpenAI(**{**made, **options})


def azure_create(url: str) -> Any:
    """A deployment's name in place of the model."""
    with azure(url, azure_endpoint="https://acme.openai.azure.com") as client:
        return client.chat.completions.create(model="our-deployment", messages=QUESTION)


def azure_stream(url: str) -> Any:
    """The same, streamed."""
    ask: dict[str, Any] = {**WITH_USAGE, "model": "our-deployment"}
    with azure(url, azure_endpoint="https://acme.openai.azure.com", azure_deployment="our-deployment") as client:
        return whole(client.chat.completions.create(**ask))


def azure_local(url: str) -> Any:
    """A gateway in front of Azure, at an address that says nothing."""
    with AzureOpenAI(azure_endpoint=url, api_key="none", api_version="2024-10-21", max_retries=0) as client:
        return client.chat.completions.create(model="our-deployment", messages=QUESTION)


async def azure_async(url: str) -> Any:
    """An asynchronous client."""
    async with AsyncAzureOpenAI(
        azure_endpoint="https://acme.openai.azure.com",
        api_key="none",
        api_version="2024-10-21",
        max_retries=0,
        http_client=led_async(url),
    ) as client:
        return await client.chat.completions.create(model="our-deployment", messages=QUESTION)


ON_AZURE: dict[str, Any] = {"name": "chat our-deployment", "provider": "azure.ai.openai"}
AZURE = [
    Shape(name="create", run=azure_create, replies=[chat_reply()], spends=[completed(**ON_AZURE)]),
    Shape(name="local address", run=azure_local, replies=[chat_reply()], spends=[completed(**ON_AZURE)]),
    Shape(name="async", run=azure_async, replies=[chat_reply()], spends=[completed(**ON_AZURE)]),
    Shape(
        name="stream",
        run=azure_stream,
        replies=[chat_stream(CACHED)],
        spends=[
            Spend(**ON_AZURE, served=MINI, input=1205, output=183, cache_read=1024, usd=CACHED_USD),
        ],
    ),
]


@pytest.mark.parametrize("shape", AZURE, ids=names(AZURE))
def test_azure(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """On Azure a deployment may have any name: the model that served the call is the one that is priced."""
    check_shape(shape, model_server, telemetry)


def test_module_level_client(model_server: ModelServer, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai.chat.completions.create` without a client of one's own is a span like any other."""
    monkeypatch.setattr(openai, "api_key", "none")
    monkeypatch.setattr(openai, "base_url", f"{model_server.url}/v1/")
    monkeypatch.setattr(openai, "max_retries", 0)
    model_server.replies(chat_reply())
    with instrumented(telemetry):
        made = openai.chat.completions.create(**ASK)
    client: Any = openai._load_client()
    client.close()
    openai._reset_client()
    assert made.choices[0].message.content == "Forty-two."
    check_span(telemetry.span(), completed())


def test_client_and_bound_methods_from_before(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A client, its resources and its bound methods that were there before `instrument()` are measured all the same."""
    model_server.replies(*[chat_reply()] * 4)
    with OpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
        create = client.chat.completions.create
        raw = client.chat.completions.with_raw_response.create
        with instrumented(telemetry):
            create(**ASK)
            raw(**ASK)
            client.chat.completions.create(**ASK)
        assert len(telemetry.spans) == 3
        create(**ASK)
    assert len(telemetry.spans) == 3
    for span in telemetry.spans:
        check_span(span, completed())


async def test_subclassed_client(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A client class of the application's own, with a `request` of its own round the SDK's, is one span a call."""

    class Sync(OpenAI):
        """Calls on."""

        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    class Async(AsyncOpenAI):
        """Calls on."""

        async def request(self, *args: Any, **kwargs: Any) -> Any:
            return await super().request(*args, **kwargs)

    model_server.replies(chat_reply(), chat_reply())
    options: dict[str, Any] = {"base_url": f"{model_server.url}/v1", "api_key": "none", "max_retries": 0}
    with instrumented(telemetry), Sync(**options) as client:
        client.chat.completions.create(**ASK)
    with instrumented(telemetry):
        async with Async(**options) as async_client:
            await async_client.chat.completions.create(**ASK)
    assert [span.name for span in telemetry.spans] == ["chat gpt-4o-mini"] * 2
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * PLAIN_USD)


SERVED = [
    ({"service_tier": "flex"}, {"service_tier": "flex"}, 0.0000625),  # 100 x 0.125 + 50 x 1.00
    ({"service_tier": "priority"}, {"service_tier": "default"}, 0.000125),  # 100 x 0.25 + 50 x 2.00
    ({}, {"service_tier": "priority"}, 0.000225),  # 100 x 0.45 + 50 x 3.60
]


@pytest.mark.parametrize(("asked", "served", "usd"), SERVED, ids=["flex", "asked for priority", "upgraded"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_requested_tier_is_not_billed_in_place_of_the_served_one(
    asked: dict[str, Any],
    served: dict[str, Any],
    usd: float,
    stream: bool,
    model_server: ModelServer,
    telemetry: Telemetry,
) -> None:
    """The tier in the response sets the price, streamed or not, whichever tier was asked for."""
    model = "gpt-5-mini-2025-08-07"
    whole_answer = json_reply(chat(PLAIN, model=model, **served))
    model_server.replies(chat_stream_with(served, model) if stream else whole_answer)
    with instrumented(telemetry), OpenAI(base_url=f"{model_server.url}/v1", api_key="none") as client:
        ask: dict[str, Any] = {**(WITH_USAGE if stream else ASK), "model": model, **asked}
        made: Any = client.chat.completions.create(**ask)
        if stream:
            list(made)
    assert telemetry.attributes()["agentcost.cost.usd"] == usd
    assert telemetry.attributes()["openai.response.service_tier"] == served["service_tier"]


def chat_stream_with(fields: dict[str, Any], model: str) -> Any:
    """A stream, each of whose chunks has `fields`."""
    from tests.support.model_server import sse_reply
    from tests.support.replies import chat_chunks

    return sse_reply([{**chunk, **fields} for chunk in chat_chunks(PLAIN, model=model)], done=True)
