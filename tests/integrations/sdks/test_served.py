"""Where, when and how a call was served, with the real SDKs: regions, days of the week, tiers without a price.

List prices in dollars per million tokens: gpt-5.4 2.50/15, claude-opus-4-7 5/25, gemini-3.5-flash 1.50/9,
deepseek-v4-pro 0.66/1.98 (1.32/3.96 at peak hours).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex
from google import genai
from google.genai import types
from openai import AsyncOpenAI, OpenAI

from otel_agentcost import BudgetExceeded
from otel_agentcost.runtime import Clock
from tests.integrations.sdks.gemini_shapes import VERTEX
from tests.integrations.sdks.hosts import led, led_async
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import instrumented, run
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat, chat_reply, chat_stream, content, message

QUESTION: Any = [{"role": "user", "content": "What is the answer?"}]
USED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def asked(base_url: str, model: str = "gpt-5.4-2026-03-05", **more: Any) -> Callable[[str], Any]:
    """Asks a model through the openai SDK at a real address."""

    def ask(url: str) -> Any:
        with OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=led(url)) as client:
            answer = client.chat.completions.create(model=model, messages=QUESTION, **more)
            return list(answer) if more.get("stream") else answer

    return ask


def residency(url: str) -> Any:
    """The SDK's own name for a region."""
    with OpenAI(data_residency="eu", api_key="none", max_retries=0, http_client=led(url)) as client:
        return client.chat.completions.create(model="gpt-5.4-2026-03-05", messages=QUESTION)


def per_request(url: str) -> Any:
    """One request of a client without a region."""
    with OpenAI(api_key="none", max_retries=0, http_client=led(url)) as client:
        regional = client.with_options(base_url="https://us.api.openai.com/v1")
        return regional.chat.completions.create(model="gpt-5.4-2026-03-05", messages=QUESTION)


async def asked_async(url: str) -> Any:
    """The asynchronous client."""
    async with AsyncOpenAI(
        base_url="https://in.api.openai.com/v1", api_key="none", max_retries=0, http_client=led_async(url)
    ) as client:
        return await client.chat.completions.create(model="gpt-5.4-2026-03-05", messages=QUESTION)


def costs(telemetry: Telemetry) -> list[Any]:
    return [(span.attributes or {}).get("agentcost.cost.usd") for span in telemetry.spans]


@pytest.mark.parametrize(
    ("action", "usd"),
    [
        (asked("https://eu.api.openai.com/v1"), 0.0044),
        (asked("https://jp.api.openai.com/v1", stream=True, stream_options={"include_usage": True}), 0.0044),
        (residency, 0.0044),
        (per_request, 0.0044),
        (asked_async, 0.0044),
        (asked("https://api.openai.com/v1"), 0.004),
        (asked("https://eu.api.openai.com/v1", "gpt-4o"), 0.0035),
    ],
)
def test_a_region_of_openai_is_not_billed_as_global(
    action: Callable[[str], Any], usd: float, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A tenth more for models since 2026-03-05, however the region is chosen."""

    def answer(request: Any) -> Any:
        model = request.json["model"]
        return chat_stream(USED, model=model) if request.json.get("stream") else chat_reply(USED, model=model)

    model_server.responder = answer
    with instrumented(telemetry):
        run(action, model_server.url)
    assert costs(telemetry) == [usd]


def test_a_budget_is_not_overspent_in_a_region(model_server: ModelServer, telemetry: Telemetry) -> None:
    """What is reserved has the uplift too: 1000 tokens of output cost $0.0165 there, which no $0.016 cover."""
    model_server.responder = lambda request: chat_reply(USED, model=request.json["model"])
    ask: dict[str, Any] = {"max_completion_tokens": 1000}
    with budgeted(telemetry, trace_budget_usd="0.016"):
        asked("https://api.openai.com/v1", **ask)(model_server.url)
        with pytest.raises(BudgetExceeded):
            asked("https://eu.api.openai.com/v1", **ask)(model_server.url)
    assert len(model_server.requests) == 1


def claude(region: str, **options: Any) -> Callable[[str], Any]:
    """Asks Claude on Vertex AI; without `base_url` at Google's own address."""

    def ask(url: str) -> Any:
        to: dict[str, Any] = {"base_url": url} if options.get("gateway") else {"http_client": led(url)}
        with AnthropicVertex(region=region, project_id="p", access_token="t", max_retries=0, **to) as client:
            return client.messages.create(model="claude-opus-4-7", max_tokens=100, messages=QUESTION)

    return ask


async def claude_async(url: str) -> Any:
    """The asynchronous client, in a multi-region."""
    async with AsyncAnthropicVertex(
        region="eu", project_id="p", access_token="t", max_retries=0, http_client=led_async(url)
    ) as client:
        return await client.messages.create(model="claude-opus-4-7", max_tokens=100, messages=QUESTION)


@pytest.mark.parametrize(
    ("action", "usd"),
    [
        (claude("us-east5"), 0.00825),
        (claude("us"), 0.00825),
        (claude("europe-west1", gateway=True), 0.00825),
        (claude_async, 0.00825),
        (claude("global"), 0.0075),
        (claude("global", gateway=True), 0.0075),
    ],
)
def test_a_region_of_vertex_is_not_billed_as_global(
    action: Callable[[str], Any], usd: float, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A tenth more for Claude; behind a gateway the client's region says where."""
    reply = json_reply(message({"input_tokens": 1000, "output_tokens": 100}, model="claude-opus-4-7"))
    model_server.responder = lambda _request: reply
    with instrumented(telemetry):
        run(action, model_server.url)
    assert costs(telemetry) == [usd]


@pytest.mark.parametrize(
    ("location", "model", "usd"),
    [
        ("europe-west1", "gemini-3.5-flash", 0.00264),
        ("eu", "gemini-3.5-flash", 0.00264),
        ("global", "gemini-3.5-flash", 0.0024),
        ("us-central1", "gemini-2.5-flash", 0.00055),
        ("us-central1", "gemini-3.1-pro-preview", None),
    ],
)
def test_a_region_of_gemini_is_billed_by_its_own_price(
    location: str, model: str, usd: float | None, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A tenth more where Google has a price for regions, the one price of older models, and else none."""
    used = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}
    model_server.responder = lambda _request: json_reply(content(used, model=model))
    options: dict[str, Any] = {**VERTEX, "location": location}
    with (
        instrumented(telemetry),
        genai.Client(**options, http_options=types.HttpOptions(base_url=model_server.url)) as client,
    ):
        client.models.generate_content(model=model, contents="What is the answer?")
    assert costs(telemetry) == [usd]
    reason = (telemetry.spans[0].attributes or {}).get("agentcost.unpriced")
    assert (reason is None) == (usd is not None)


@pytest.mark.parametrize(
    ("moment", "usd"), [("2026-11-28T02:00", 0.0858), ("2026-11-27T02:00", 0.1716), ("2026-10-01T07:00", 0.0858)]
)
def test_a_weekend_is_not_billed_at_peak_hours(
    moment: str, usd: float, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """DeepSeek's peak hours are on working days: not on a Saturday, not on the National Day."""
    at = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()
    used = {"prompt_tokens": 100_000, "completion_tokens": 10_000, "total_tokens": 110_000}
    model_server.responder = lambda request: chat_reply(used, model=request.json["model"])
    with budgeted(telemetry, Clock(lambda: at, time.monotonic)):
        asked("https://api.deepseek.com", "deepseek-v4-pro")(model_server.url)
    assert costs(telemetry) == [usd]


@pytest.mark.parametrize(
    ("base_url", "model", "tier", "usd"),
    [
        ("https://api.x.ai/v1", "grok-4", "priority", None),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "openai.gpt-oss-120b-1:0", "reserved", None),
        ("https://api.fireworks.ai/inference/v1", "accounts/fireworks/models/deepseek-v4-pro", "flex", None),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", "performance", None),
        ("https://api.openai.com/v1", "gpt-5.4", "scale", None),
        ("https://api.openai.com/v1", "gpt-5.4", "priority", 0.008),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", "flex", 0.000669),
        ("https://api.x.ai/v1", "grok-4", "default", 0.0045),
    ],
)
def test_a_served_tier_without_a_price_is_not_billed_as_standard(
    base_url: str, model: str, tier: str, usd: float | None, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Unpriced with the tier in the reason, at every provider; Groq's flex costs the same by its documentation."""
    model_server.responder = lambda _request: json_reply(chat(USED, model=model, service_tier=tier))
    with instrumented(telemetry):
        asked(base_url, model)(model_server.url)
    assert costs(telemetry) == [usd]
    reason = (telemetry.spans[0].attributes or {}).get("agentcost.unpriced")
    assert reason is None if usd is not None else tier in str(reason)
