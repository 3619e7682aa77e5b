"""SDKs of the Stainless family: each is a few lines here, and priced, limited and left as it is like openai."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


class Family(NamedTuple):
    """One SDK: its package, its client, and the provider's name and price of a model."""

    package: str
    client: str
    provider: str
    model: str
    usd: float | None
    method: str = "chat.completions.create"
    limit: str = "max_tokens"
    asynchronous: bool = True
    """False if it has no asynchronous client."""


SDKS = [
    Family("groq", "Groq", "groq", "llama-3.3-70b-versatile", (1000 * 0.59 + 200 * 0.79) / 1e6),
    Family("together", "Together", "together", "MiniMaxAI/MiniMax-M3", None),
    Family("cerebras.cloud.sdk", "Cerebras", "cerebras", "gpt-oss-120b", (1000 * 0.35 + 200 * 0.75) / 1e6),
    Family("writerai", "Writer", "writer", "palmyra-x5", None, "chat.chat"),
    Family("perplexity", "Perplexity", "perplexity", "sonar-reasoning", (1000 * 1 + 200 * 5) / 1e6 + 0.012),
    Family("llama_api_client", "LlamaAPIClient", "meta_llama", "Llama-4-Scout", None, limit="max_completion_tokens"),
    Family("sambanova", "SambaNova", "sambanova", "Meta-Llama-3.3-70B-Instruct", None),
    Family("fireworks", "Fireworks", "fireworks", "accounts/fireworks/models/glm-5p2", (1000 * 1.4 + 200 * 4.4) / 1e6),
    Family("inceptionai", "Inception", "inception", "mercury-2", None, asynchronous=False),
    Family("zai", "ZaiClient", "zai", "glm-4.6", (1000 * 0.6 + 200 * 2.2) / 1e6, asynchronous=False),
    Family("zhipuai", "ZhipuAI", "zhipuai", "glm-4.6", None, asynchronous=False),
]


def case(one: Family) -> Any:
    """A parameter of tests, which are skipped where the SDK is not there."""
    missing = importlib.util.find_spec(one.package.partition(".")[0]) is None
    reason = f"{one.package} is not installed: pip install 'otel-agentcost[coexist]'"
    return pytest.param(one, id=one.package, marks=pytest.mark.skipif(missing, reason=reason))


CASES = [case(one) for one in SDKS]
ASYNCHRONOUS = [case(one) for one in SDKS if one.asynchronous]
METRICS = [
    {"metric": "num_prompt_tokens", "value": 1000, "unit": "tokens"},
    {"metric": "num_completion_tokens", "value": 200, "unit": "tokens"},
    {"metric": "num_total_tokens", "value": 1200, "unit": "tokens"},
]
"""What Meta's Llama API counts, in place of a usage."""


def client(one: Family, server: ModelServer, *, asynchronous: bool = False) -> Any:
    kind = getattr(importlib.import_module(one.package), ("Async" if asynchronous else "") + one.client)
    more = {"warm_tcp_connection": False} if one.client == "Cerebras" else {}
    return kind(api_key="none", base_url=server.url, max_retries=0, **more)


def method(one: Family, of: Any) -> Any:
    for name in one.method.split("."):
        of = getattr(of, name)
    return of


def ask(one: Family) -> dict[str, Any]:
    return {"model": one.model, "messages": [{"role": "user", "content": "How are you today?"}]}


def whole(one: Family) -> Any:
    if one.package == "llama_api_client":
        said = {"role": "assistant", "content": {"type": "text", "text": "It is four."}, "stop_reason": "stop"}
        return {"id": "c1", "completion_message": said, "metrics": METRICS}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": one.model}
    return {**head, "choices": [choice], "usage": USAGE}


def events(one: Family) -> list[Any]:
    if one.package == "llama_api_client":
        said = {"event_type": "progress", "delta": {"type": "text", "text": "word "}}
        stopped = {"event_type": "complete", "delta": {"type": "text", "text": ""}, "stop_reason": "stop"}
        counted = {"event_type": "metrics", "delta": {"type": "text", "text": ""}, "metrics": METRICS}
        return [{"id": "c1", "event": each} for each in (*[said] * 3, stopped, counted)]
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": one.model}
    delta = {"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [*[{**head, "choices": [delta]}] * 3, {**head, "choices": [last], "usage": USAGE}]


def judge(one: Family, telemetry: Telemetry) -> None:
    """The only span has the tokens, and the dollars where the book has a price."""
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 200)
    assert said[semconv.PROVIDER] == one.provider
    if one.usd is not None:
        assert said[semconv.COST] == pytest.approx(one.usd)
    telemetry.clear()


@pytest.mark.parametrize("one", CASES)
def test_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer, one: Family) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(whole(one)), sse_reply(events(one), done=one.package != "llama_api_client"))
    with client(one, model_server) as made, budgeted(telemetry):
        method(one, made)(**ask(one))
        judge(one, telemetry)
        assert list(method(one, made)(**ask(one), stream=True))
        judge(one, telemetry)


@pytest.mark.parametrize("one", ASYNCHRONOUS)
async def test_asynchronous_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer, one: Family) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(whole(one)), sse_reply(events(one), done=one.package != "llama_api_client"))
    async with client(one, model_server, asynchronous=True) as made:
        with budgeted(telemetry):
            await method(one, made)(**ask(one))
            judge(one, telemetry)
            assert [event async for event in await method(one, made)(**ask(one), stream=True)]
            judge(one, telemetry)


@pytest.mark.parametrize("one", CASES)
def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer, one: Family) -> None:
    """A call that does not fit is not sent."""
    refused = pytest.raises(BudgetExceeded)
    with client(one, model_server) as made, budgeted(telemetry, budgets="total:tokens=500"), refused:
        method(one, made)(**ask(one), **{one.limit: 1000})
    assert model_server.requests == []


def test_reranking_and_embeddings_of_mixedbread_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Both are billed by the token."""
    mixedbread: Any = pytest.importorskip("mixedbread", reason="pip install 'otel-agentcost[coexist]'")
    usage = {"prompt_tokens": 500, "total_tokens": 500}
    common = {"model": "m", "object": "list", "usage": usage}
    ranked = {**common, "data": [{"index": 0, "score": 0.5}], "top_k": 1, "return_input": False}
    model_server.replies(json_reply({**common, "data": [], "normalized": True}), json_reply(ranked))
    with mixedbread.Mixedbread(api_key="none", base_url=model_server.url, max_retries=0) as made, budgeted(telemetry):
        made.embed(model="mxbai-embed-large-v1", input=["some text"])
        made.rerank(model="mxbai-rerank-large-v2", query="text", input=["some text"])
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (first[semconv.OPERATION], first[semconv.INPUT_TOKENS]) == (semconv.EMBEDDINGS, 500)
    assert (second[semconv.OPERATION], second[semconv.INPUT_TOKENS]) == ("rerank", 500)
    assert first[semconv.PROVIDER] == "mixedbread"


def test_a_search_is_not_free(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Perplexity bills its searches by the request, which has no tokens: the call is seen, and unpriced."""
    perplexity: Any = pytest.importorskip("perplexity", reason="pip install 'otel-agentcost[coexist]'")
    model_server.replies(json_reply({"id": "s1", "results": []}))
    with perplexity.Perplexity(api_key="none", base_url=model_server.url, max_retries=0) as made, budgeted(telemetry):
        made.search.create(query="some text")
    assert semconv.COST not in telemetry.attributes()
    assert telemetry.attributes()[semconv.UNPRICED]
