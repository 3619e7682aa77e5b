"""Voyage's SDK: embeddings, reranking, and the pixels of images."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's own dependencies warn when they are imported
    voyageai: Any = pytest.importorskip("voyageai", reason="voyageai is not here: `make neighbours`")

MODEL = "voyage-3.5"
EMBEDDED = {
    "object": "list",
    "data": [{"embedding": [0.1], "index": 0}],
    "model": MODEL,
    "usage": {"total_tokens": 500},
}
USD = 500 * 0.06 / 1e6
RANKED = {"data": [{"index": 0, "relevance_score": 0.5}], "model": "rerank-2.5", "usage": {"total_tokens": 26}}
PICTURES = {
    "data": [{"embedding": [0.1], "index": 0}],
    "model": "voyage-multimodal-3",
    "usage": {"text_tokens": 5, "image_pixels": 2_000_000, "video_pixels": 0, "total_tokens": 3576},
}


def client(server: ModelServer, *, asynchronous: bool = False, **more: Any) -> Any:
    kind = voyageai.AsyncClient if asynchronous else voyageai.Client
    return kind(api_key="none", base_url=f"{server.url}/v1", max_retries=1, **more)


def test_embeddings_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The tokens of Voyage, at the price of the book."""
    model_server.replies(json_reply(EMBEDDED))
    with budgeted(telemetry):
        assert client(model_server).embed(["some text"], model=MODEL).total_tokens == 500
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.COST]) == (500, pytest.approx(USD))
    assert (said[semconv.OPERATION], said[semconv.PROVIDER]) == (semconv.EMBEDDINGS, "voyageai")


async def test_asynchronous_embeddings_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The same through its other HTTP client."""
    model_server.replies(json_reply(EMBEDDED))
    with budgeted(telemetry):
        await client(model_server, asynchronous=True).embed(["some text"], model=MODEL)
    assert telemetry.attributes()[semconv.COST] == pytest.approx(USD)


def test_chunks_in_context_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A document is a list of its chunks."""
    answer = {
        "object": "list",
        "data": [{"object": "list", "data": [{"embedding": [0.1], "index": 0}], "index": 0}],
        "model": "voyage-context-3",
        "usage": {"total_tokens": 500},
    }
    model_server.replies(json_reply(answer))
    with budgeted(telemetry):
        client(model_server).contextualized_embed([["some", "text"]], model="voyage-context-3", input_type="document")
    assert telemetry.attributes()[semconv.COST] == pytest.approx(500 * 0.18 / 1e6)


def test_reranking_is_not_free(telemetry: Telemetry, model_server: ModelServer, tmp_path: Any) -> None:
    """It is billed by the token. The book has no price for it, a price file can."""
    model_server.replies(json_reply(RANKED), json_reply(RANKED))
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"rerank-2.5": {"input_mtok": 0.05}}}))
    with budgeted(telemetry):
        client(model_server).rerank("a question", ["one"], model="rerank-2.5")
    said = telemetry.attributes()
    assert (said[semconv.OPERATION], said[semconv.INPUT_TOKENS]) == ("rerank", 26)
    assert "no price for 'rerank-2.5'" in str(said[semconv.UNPRICED])
    telemetry.clear()
    with budgeted(telemetry, prices=str(prices)):
        client(model_server).rerank("a question", ["one"], model="rerank-2.5")
    assert telemetry.attributes()[semconv.COST] == pytest.approx(26 * 0.05 / 1e6)


def test_pixels_are_not_counted_as_tokens(telemetry: Telemetry, model_server: ModelServer, tmp_path: Any) -> None:
    """`total_tokens` has the pixels in it, at 560 a token: each is billed once, at its own price."""
    model_server.replies(json_reply(PICTURES), json_reply(PICTURES))
    row = {"input_mtok": 0.12, "input_gpixels": 0.6}
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"voyage-multimodal-3": row}}))
    inputs = [["some text"]]
    with budgeted(telemetry):
        client(model_server).multimodal_embed(inputs, model="voyage-multimodal-3")
    said = telemetry.attributes()
    assert said[semconv.INPUT_TOKENS] == 5
    assert semconv.COST not in said
    telemetry.clear()
    with budgeted(telemetry, prices=str(prices)):
        client(model_server).multimodal_embed(inputs, model="voyage-multimodal-3")
    assert telemetry.attributes()[semconv.COST] == pytest.approx(5 * 0.12 / 1e6 + 0.002 * 0.6)


def test_an_error_is_not_charged(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The SDK's exception comes out as it is."""
    model_server.replies(json_reply({"detail": "no"}, status=400))
    with budgeted(telemetry), pytest.raises(voyageai.error.InvalidRequestError):
        client(model_server).embed(["some text"], model=MODEL)
    said = telemetry.attributes()
    assert semconv.ERROR_TYPE in said
    assert semconv.COST not in said


async def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent, and the refusal comes out as itself, sync and async."""
    with budgeted(telemetry, budgets="total:usd=0.0000001"):
        with pytest.raises(BudgetExceeded):
            client(model_server).embed(["some text"] * 100, model=MODEL)
        with pytest.raises(BudgetExceeded):
            await client(model_server, asynchronous=True).embed(["some text"] * 100, model=MODEL)
    assert model_server.requests == []
