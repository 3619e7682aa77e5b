"""Cohere's SDK, versions 1 and 2 of its API: what it bills is what counts."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import cohere
import httpx
import pytest
from cohere.errors import BadRequestError

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply

MODEL = "command-r-08-2024"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "How are you today?"}]}
ASK_1: dict[str, Any] = {"model": MODEL, "message": "How are you today?"}
BILLED = {"billed_units": {"input_tokens": 100, "output_tokens": 50}, "tokens": {"input_tokens": 170}}
USD = 0.000045
"""100 input tokens at $0.15 and 50 output tokens at $0.60 a million."""
SAID = {"role": "assistant", "content": [{"type": "text", "text": "It is four."}]}
WHOLE = {"id": "c1", "finish_reason": "COMPLETE", "message": SAID, "usage": BILLED}
PIECE = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "word "}}}}
EVENTS = [
    {"id": "c1", "type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
    *[PIECE] * 5,
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": BILLED}},
]
WHOLE_1 = {"response_id": "r1", "text": "It is four.", "finish_reason": "COMPLETE", "meta": BILLED}
EVENTS_1 = [
    {"event_type": "stream-start", "generation_id": "g1", "is_finished": False},
    *[{"event_type": "text-generation", "text": "word ", "is_finished": False}] * 5,
    {"event_type": "stream-end", "finish_reason": "COMPLETE", "is_finished": True, "response": WHOLE_1},
]


def lines(*events: Any) -> Reply:
    """A stream of version 1: an object a line."""
    body = [json_reply(event).body + b"\n" for event in events]
    return Reply(content_type="application/stream+json", chunks=body)


@pytest.fixture
def http() -> Generator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def spent(telemetry: Telemetry) -> tuple[object, object, object]:
    """Tokens and dollars of the only span."""
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS), said.get(semconv.COST)


def test_chats_of_both_versions_are_not_missed(
    telemetry: Telemetry, model_server: ModelServer, http: httpx.Client
) -> None:
    """Billed units are the usage: they leave out Cohere's own instructions."""
    model_server.replies(json_reply(WHOLE), json_reply(WHOLE_1))
    with budgeted(telemetry):
        cohere.ClientV2("none", base_url=model_server.url, httpx_client=http).chat(**ASK)
        assert spent(telemetry) == (100, 50, USD)
        telemetry.clear()
        cohere.Client("none", base_url=model_server.url, httpx_client=http).chat(**ASK_1)
        assert spent(telemetry) == (100, 50, USD)


def test_streams_of_both_versions_are_not_missed(
    telemetry: Telemetry, model_server: ModelServer, http: httpx.Client
) -> None:
    """Server-sent events, and an object a line; one that is left early is estimated."""
    model_server.replies(sse_reply(EVENTS, named=True), lines(*EVENTS_1), sse_reply(EVENTS, named=True))
    client = cohere.ClientV2("none", base_url=model_server.url, httpx_client=http)
    with budgeted(telemetry):
        assert len(list(client.chat_stream(**ASK))) == 7
        assert spent(telemetry) == (100, 50, USD)
        telemetry.clear()
        first = cohere.Client("none", base_url=model_server.url, httpx_client=http)
        assert len(list(first.chat_stream(**ASK_1))) == 7
        assert spent(telemetry) == (100, 50, USD)
        telemetry.clear()
        stream: Any = client.chat_stream(**ASK)
        next(stream)
        stream.close()
        assert telemetry.attributes()[semconv.ESTIMATED] is True


async def test_asynchronous_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, named=True))
    async with httpx.AsyncClient() as http:
        client = cohere.AsyncClientV2("none", base_url=model_server.url, httpx_client=http)
        with budgeted(telemetry):
            await client.chat(**ASK)
            assert spent(telemetry) == (100, 50, USD)
            telemetry.clear()
            assert len([event async for event in client.chat_stream(**ASK)]) == 7
            assert spent(telemetry) == (100, 50, USD)


def test_embed_and_rerank_are_not_missed(telemetry: Telemetry, model_server: ModelServer, http: httpx.Client) -> None:
    """Embeddings by the token; a rerank by the search, whose price is not in the book."""
    embedded = {"id": "e1", "embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 500}}}
    ranked = {"id": "k1", "results": [], "meta": {"billed_units": {"search_units": 1}}}
    model_server.replies(json_reply(embedded), json_reply(ranked))
    client = cohere.ClientV2("none", base_url=model_server.url, httpx_client=http)
    with budgeted(telemetry):
        client.embed(model="embed-v4.0", input_type="search_query", embedding_types=["float"], texts=["some text"])
        client.rerank(model="rerank-v3.5", query="some text", documents=["one", "two"])
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (first[semconv.INPUT_TOKENS], first[semconv.COST]) == (500, 0.00006)
    assert "no price for 'rerank-v3.5'" in str(second[semconv.UNPRICED])


def test_a_retry_is_one_call(telemetry: Telemetry, model_server: ModelServer, http: httpx.Client) -> None:
    """The SDK calls its own method again; an error that it raises costs nothing."""
    model_server.replies(json_reply({"message": "wait"}, status=503), json_reply(WHOLE))
    client = cohere.ClientV2("none", base_url=model_server.url, httpx_client=http)
    with budgeted(telemetry):
        client.chat(**ASK)
        assert spent(telemetry) == (100, 50, USD)
        telemetry.clear()
        model_server.replies(json_reply({"message": "no"}, status=400))
        with pytest.raises(BadRequestError):
            client.chat(**ASK)
    assert telemetry.attributes()[semconv.ERROR_TYPE] == "400"
    assert semconv.UNPRICED not in telemetry.attributes()


def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer, http: httpx.Client) -> None:
    """A call that does not fit is not sent, streamed or not; `clamp` lowers its limit."""
    client = cohere.ClientV2("none", base_url=model_server.url, httpx_client=http)
    with budgeted(telemetry, budgets="total:usd=0.0001"):
        with pytest.raises(BudgetExceeded):
            client.chat(**ASK, max_tokens=1000)
        with pytest.raises(BudgetExceeded):
            list(client.chat_stream(**ASK, max_tokens=1000))
    assert model_server.requests == []
    model_server.replies(json_reply(WHOLE))
    with budgeted(telemetry, budgets="total:usd=0.001,on_exceed=clamp"):
        client.chat(**ASK, max_tokens=100_000)
    assert 0 < model_server.requests[0].json["max_tokens"] < 5_000


def test_another_cloud_is_not_priced_as_cohere(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Clients for Bedrock and SageMaker send their requests there, by a hook."""
    from cohere.aws_client import get_event_hooks

    hooks = get_event_hooks("bedrock", "none", "none", None, "us-east-1")
    failed = contextlib.suppress(Exception)  # no credentials, no network: whatever the hook raises
    with httpx.Client(event_hooks={"request": hooks["request"][-1:]}) as http, budgeted(telemetry), failed:
        cohere.ClientV2("none", base_url=model_server.url, httpx_client=http).chat(**ASK)
    assert telemetry.attributes()[semconv.PROVIDER] == "aws.bedrock"
