"""What a provider or a gateway says of money in a response, through the real SDKs: believed where it can be, else not.

The table is `core/reported_costs.py`. Every row is tried with a value that its provider documents.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
import pytest
from google import genai
from openai import AsyncOpenAI, OpenAI

from otel_agentcost.core import semconv
from otel_agentcost.core.reported_costs import ROWS
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.replies import MINI, PLAIN, PLAIN_USD

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is 6 times 7?"}]}


def asking(model: str) -> dict[str, Any]:
    return {**ASK, "model": model}


GATEWAY = "http://llm.example/v1"
XAI = "https://api.x.ai/v1"
TICKS: dict[str, Any] = {
    "prompt_tokens": 16687,
    "completion_tokens": 500,
    "total_tokens": 17187,
    "server_side_tool_usage_details": {"web_search_calls": 0, "x_search_calls": 3},
    "cost_in_usd_ticks": 185874000,
}


def transport(body: Any, headers: Mapping[str, str] | None = None) -> httpx2.MockTransport:
    """Answers each request with `body`: an object, or the events of a stream as a list."""

    def handle(_request: httpx2.Request) -> httpx2.Response:
        if not isinstance(body, list):
            return httpx2.Response(200, json=body, headers=dict(headers or {}))
        text = "".join(f"event: {event.get('type', 'message')}\ndata: {json.dumps(event)}\n\n" for event in body)
        return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream", **(headers or {})})

    return httpx2.MockTransport(handle)


def client(base_url: str, body: Any, headers: Mapping[str, str] | None = None) -> OpenAI:
    http = httpx2.Client(transport=transport(body, headers))
    return OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http)


def whole(base_url: str, usage: Any, headers: Mapping[str, str] | None = None, **more: Any) -> None:
    client(base_url, replies.chat(usage, **more), headers).chat.completions.create(**ASK)


def streamed(base_url: str, usage: Any, headers: Mapping[str, str] | None = None, **more: Any) -> None:
    for _ in client(base_url, replies.chat_chunks(usage, **more), headers).chat.completions.create(**ASK, stream=True):
        pass


def raw(base_url: str, usage: Any, headers: Mapping[str, str] | None = None, **more: Any) -> None:
    made = client(base_url, replies.chat(usage, **more), headers)
    with made.chat.completions.with_streaming_response.create(**ASK) as reply:
        reply.read()


def raw_stream(base_url: str, usage: Any, headers: Mapping[str, str] | None = None, **more: Any) -> None:
    made = client(base_url, replies.chat_chunks(usage, **more), headers)
    with made.chat.completions.with_streaming_response.create(**ASK, stream=True) as reply:
        for _ in reply.iter_bytes():
            pass


def awaited(base_url: str, usage: Any, headers: Mapping[str, str] | None = None, **more: Any) -> None:
    async def main() -> None:
        http = httpx2.AsyncClient(transport=transport(replies.chat_chunks(usage, **more), headers))
        made = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http)
        async for _ in await made.chat.completions.create(**ASK, stream=True):
            pass

    asyncio.run(main())


SHAPES = (whole, streamed, raw, raw_stream, awaited)


def paid(telemetry: Telemetry) -> tuple[object, object, object]:
    """The dollars of the last span, their source, and what they do not include."""
    said = dict(telemetry.spans[-1].attributes or {})
    return said.get(semconv.COST), said.get(semconv.COST_SOURCE), said.get(semconv.UNPRICED)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_cost_that_the_provider_reports_is_not_ignored(telemetry: Telemetry, shape: Callable[..., None]) -> None:
    """Whole, streamed, raw and asynchronous: the provider's own figure, and nothing is left out of it."""
    perplexity = {**PLAIN, "cost": {"total_cost": 0.0061, "request_cost": 0.006}}
    with instrumented(telemetry):
        for base_url, usage, usd in (
            (XAI, TICKS, 0.0185874),
            ("https://us-east-1.api.x.ai/v1", TICKS, 0.0185874),
            ("https://openrouter.ai/api/v1", {**PLAIN, "cost": 0.0123}, 0.0123),
            ("https://api.llmgateway.io/v1", {**PLAIN, "cost_usd_total": 0.0123, "cost_usd_input": 0.01}, 0.0123),
            ("https://ai-gateway.vercel.sh/v1", {**PLAIN, "cost": "0.0123"}, 0.0123),
            ("https://api.perplexity.ai", perplexity, 0.0061),
            ("https://api.deepinfra.com/v1/openai", {**PLAIN, "estimated_cost": 0.00034215}, 0.00034215),
            (GATEWAY, {**PLAIN, "cost": 0.02}, 0.02),
            (GATEWAY, TICKS, 0.0185874),
        ):
            shape(base_url, usage)
            assert paid(telemetry) == (pytest.approx(usd, rel=1e-12), "provider", None)


def test_a_cost_of_images_embeddings_and_responses_is_not_ignored(telemetry: Telemetry) -> None:
    """xAI's images have no tokens at all; the cost is beside them."""
    image = {"created": 1, "data": [{"url": "http://x/1.png"}], "usage": {"cost_in_usd_ticks": 200000000}}
    vector = {"object": "embedding", "index": 0, "embedding": [0.1]}
    vectors = {"object": "list", "model": "m", "data": [vector], "usage": {"prompt_tokens": 9, "cost": 0.5}}
    answer = replies.response({"input_tokens": 10, "output_tokens": 1, "cost_in_usd_ticks": 37756000})
    with instrumented(telemetry):
        client(XAI, image).images.generate(model="grok-imagine-image", prompt="a bee")
        client("https://openrouter.ai/api/v1", vectors).embeddings.create(model="m", input="a bee")
        client(XAI, answer).responses.create(model="grok-4", input="a bee")
        events = [{"type": "response.completed", "response": answer, "sequence_number": 1}]
        list(client(XAI, events).responses.create(model="grok-4", input="a bee", stream=True))
    assert [span.attributes[semconv.COST] for span in telemetry.spans if span.attributes] == pytest.approx(
        [0.02, 0.5, 0.0037756, 0.0037756]
    )


def test_a_cost_in_anthropics_format_is_not_ignored(telemetry: Telemetry) -> None:
    """OpenRouter and LiteLLM speak this format too; in a stream, the last usage has the cost."""
    usage = {**replies.MESSAGE, "cost": 0.25}
    with instrumented(telemetry):
        *events, last, stop = replies.message_events()
        for body in (replies.message(usage), [*events, {**last, "usage": usage}, stop]):
            http = httpx2.Client(transport=transport(body))
            made = anthropic.Anthropic(base_url="https://openrouter.ai/api", api_key="none", http_client=http)
            stream: Any = {"stream": True} if isinstance(body, list) else {}
            reply: Any = made.messages.create(**ASK, max_tokens=9, **stream)
            list(reply) if stream else None
    assert [(span.attributes or {}).get(semconv.COST) for span in telemetry.spans] == [0.25, 0.25]


HITS = [(row.name, {"*": "9f8e"}.get(min(row.hits), min(row.hits).upper()), row) for row in ROWS if row.hits]


def test_a_cost_beside_the_usage_is_not_ignored(telemetry: Telemetry) -> None:
    """Eden AI writes it at the top of the response, under a name too general to be believed elsewhere."""
    with instrumented(telemetry):
        whole("https://api.edenai.run/v3/llm", PLAIN, cost=0.0123)
        assert paid(telemetry) == (0.0123, "provider", None)
        *before, end = replies.chat_chunks(PLAIN)
        made = client("https://api.edenai.run/v3/llm", [*before, {**end, "cost": 0.0123}])
        list(made.chat.completions.create(**ASK, stream=True))
        assert paid(telemetry) == (0.0123, "provider", None)
        whole(GATEWAY, PLAIN, cost=0.0123)
    assert paid(telemetry) == (pytest.approx(PLAIN_USD), "local", None)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_from_a_gateways_cache_is_not_billed(telemetry: Telemetry, shape: Callable[..., None]) -> None:
    """The usage in it is that of the first answer, and so is the cost in its body."""
    with instrumented(telemetry):
        for name, value, row in HITS:
            base_url = f"https://{row.hosts[0]}/v1" if row.hosts else GATEWAY
            shape(base_url, {**PLAIN, "cost": 0.01}, {name.title(): value})
            assert paid(telemetry) == (0, "provider", None)


def test_an_answer_that_no_cache_had_is_not_free(telemetry: Telemetry) -> None:
    """Only the documented values mean a hit."""
    with instrumented(telemetry):
        for value in ("MISS", "BYPASS", "", "EXPIRED", "SEMANTIC MISS"):
            whole(GATEWAY, PLAIN, {name: value for name, _, row in HITS if "*" not in row.hits})
            assert paid(telemetry) == (pytest.approx(PLAIN_USD), "local", None)


def test_a_cached_answer_is_not_billed_at_the_cost_of_the_first(telemetry: Telemetry) -> None:
    """LiteLLM sends its key with hits alone; older proxies repeat the first cost (BerriAI/litellm#14749)."""
    with instrumented(telemetry):
        whole(GATEWAY, PLAIN, {"x-litellm-cache-key": "9f8e", "x-litellm-response-cost": "0.002"})
    assert paid(telemetry) == (0, "provider", None)


def test_a_cached_answer_of_gemini_is_not_billed(telemetry: Telemetry) -> None:
    """google-genai has no method that sees the HTTP response; its headers come with the body."""
    body = {
        "candidates": [{"content": {"parts": [{"text": "42"}]}, "finishReason": "STOP"}],
        "usageMetadata": replies.GEMINI,
        "modelVersion": "gemini-2.5-flash",
    }
    http = httpx2.Client(transport=transport(body, {"CF-AIG-Cache-Status": "HIT"}))
    options: Any = {"base_url": "https://gateway.ai.cloudflare.com/v1/a/g/google-ai-studio", "httpx_client": http}
    with instrumented(telemetry):
        genai.Client(api_key="none", http_options=options).models.generate_content(
            model="gemini-2.5-flash", contents="6 x 7"
        )
    assert paid(telemetry) == (0, "provider", None)


@pytest.mark.parametrize("base_url", ["https://openrouter.ai/api/v1", GATEWAY])
def test_a_cost_that_cannot_be_is_not_believed(telemetry: Telemetry, base_url: str) -> None:
    """0 for tokens that have a price, negative, not finite, absurd, or no number: the price book's dollars."""
    nan, inf = float("nan"), float("inf")
    with instrumented(telemetry):
        cost: Any
        for cost in (0, 0.0, "0", -1, True, nan, inf, "1e400", 1e6, "n/a", "", [], {}, {"total_cost": "x"}):
            text = json.dumps(replies.chat({**PLAIN, "cost": cost}, model="openai/gpt-4o-mini"))
            reply = httpx2.Response(200, content=text, headers={"content-type": "application/json"})
            http = httpx2.Client(transport=httpx2.MockTransport(lambda _, reply=reply: reply))
            made = OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http)
            made.chat.completions.create(**asking("openai/gpt-4o-mini"))
            assert paid(telemetry) == (pytest.approx(PLAIN_USD), "local", None), cost


def test_ticks_that_cannot_be_do_not_make_tools_free(telemetry: Telemetry) -> None:
    """Without a cost to believe, the tokens have their price, and the searches are named."""
    with instrumented(telemetry):
        for ticks in (0, -5, "many", 10**17, None):
            whole(XAI, {**TICKS, "cost_in_usd_ticks": ticks}, model="grok-4-1-fast-non-reasoning")
            assert paid(telemetry) == (pytest.approx(0.0035874), "local", "no price for social_searches (3)"), ticks


@pytest.mark.parametrize(
    ("usage", "headers"),
    [
        ({**PLAIN, "cost": 0.5, "cost_in_usd_ticks": 10**10, "estimated_cost": 0.5}, {}),
        (PLAIN, {"x-litellm-response-cost": "0.5"}),
        (PLAIN, {name: value for name, value, _ in HITS}),
    ],
)
def test_a_provider_that_reports_no_costs_is_not_believed(
    telemetry: Telemetry, usage: dict[str, Any], headers: dict[str, str]
) -> None:
    """Each row of the table counts at its own hosts and at unknown addresses, and not at another provider's."""
    with instrumented(telemetry):
        whole("https://api.openai.com/v1", usage, headers)
    assert paid(telemetry) == (pytest.approx(PLAIN_USD), "local", None)


def test_a_cost_in_another_unit_is_not_believed(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """A gateway that reports micro-dollars: 45 "dollars" for 45 millionths. It is said once."""
    with instrumented(telemetry):
        whole(GATEWAY, {**PLAIN, "cost": 45})
    assert paid(telemetry) == (pytest.approx(PLAIN_USD), "local", None)
    assert "reports a cost of $45 (usage.cost) for $0.000045 at list prices" in caplog.text


def test_a_cost_in_another_currency_is_not_believed(telemetry: Telemetry) -> None:
    """Perplexity's cost names its currency."""
    usage = {**replies.RESPONSE_CACHED, "cost": {"currency": "EUR", "total_cost": 3}}
    with instrumented(telemetry):
        client(GATEWAY, replies.response(usage)).responses.create(model=MINI, input="a bee")
    assert paid(telemetry)[1] == "local"


def test_a_zero_without_a_price_is_not_shown_as_free(telemetry: Telemetry) -> None:
    """A LiteLLM proxy says 0 for models that it has no price of."""
    with instrumented(telemetry):
        made = client(GATEWAY, replies.chat(model="house-model-7b"), {"x-litellm-response-cost": "0.0"})
        made.chat.completions.create(**asking("house-model-7b"))
    usd, _, unpriced = paid(telemetry)
    assert usd is None
    assert "a reported cost of 0 (x-litellm-response-cost) is not believed" in str(unpriced)


def test_a_free_model_of_openrouter_is_free(telemetry: Telemetry) -> None:
    """Its name says so, and OpenRouter reports 0."""
    with instrumented(telemetry):
        whole("https://openrouter.ai/api/v1", {**PLAIN, "cost": 0}, model="acme/new-model:free")
    usd, _, unpriced = paid(telemetry)
    assert (usd, unpriced) == (0, None)


def test_a_cost_beside_a_usage_of_zeros_is_not_lost(telemetry: Telemetry) -> None:
    """The dollars are the provider's, whatever becomes of the counts."""
    with instrumented(telemetry):
        streamed(GATEWAY, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0.03})
    assert paid(telemetry) == (0.03, "provider", None)


def test_every_row_has_a_source_and_a_place_where_it_counts() -> None:
    """A row that nothing can match would be dead."""
    for row in ROWS:
        assert row.source.startswith("https://")
        assert row.hosts or row.elsewhere
        assert row.name == row.name.lower()
        assert all(hit == hit.lower() for hit in row.hits)
