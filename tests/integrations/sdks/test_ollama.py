"""Ollama's SDK: tokens of local models, whose price is what the user says."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import ollama
import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply

ASK: dict[str, Any] = {"model": "llama3", "messages": [{"role": "user", "content": "How are you today?"}]}
COUNTS = {"done": True, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 50}
WHOLE = {"model": "llama3", "message": {"role": "assistant", "content": "It is four."}, **COUNTS}
PIECE = {"model": "llama3", "message": {"role": "assistant", "content": "word "}, "done": False}
LAST = {"model": "llama3", "message": {"role": "assistant", "content": ""}, **COUNTS}


def lines(*events: Any) -> Reply:
    """A stream: an object a line."""
    return Reply(content_type="application/x-ndjson", chunks=[json_reply(event).body + b"\n" for event in events])


@pytest.fixture
def client(model_server: ModelServer) -> Generator[ollama.Client]:
    client = ollama.Client(host=model_server.url)
    yield client
    client._client.close()  # the oldest release has no public way


def tokens(telemetry: Telemetry) -> tuple[object, object]:
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS)


def test_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer, client: ollama.Client) -> None:
    """A chat, a generation, and embeddings."""
    generated = {"model": "llama3", "response": "It is four.", **COUNTS}
    embedded = {"model": "llama3", "embeddings": [[0.1]], "prompt_eval_count": 9}
    model_server.replies(json_reply(WHOLE), json_reply(generated), json_reply(embedded))
    with budgeted(telemetry):
        assert client.chat(**ASK).message.content == "It is four."
        assert client.generate(model="llama3", prompt="How are you today?").response == "It is four."
        client.embed(model="llama3", input="How are you today?")
    found = [
        (said.get(semconv.OPERATION), said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS))
        for said in (dict(span.attributes or {}) for span in telemetry.spans)
    ]
    assert found == [("chat", 100, 50), ("text_completion", 100, 50), ("embeddings", 9, 0)]


def test_a_local_model_is_not_priced_by_a_guess(
    telemetry: Telemetry, model_server: ModelServer, client: ollama.Client, tmp_path: Path
) -> None:
    """Without a price it is unpriced; the setting makes private addresses free; a price file has its price."""
    prices = tmp_path / "prices.json"
    prices.write_text('{"providers": {"ollama": {"models": {"llama3": {"input_mtok": 1, "output_mtok": 2}}}}}')
    model_server.replies(*[json_reply(WHOLE)] * 3)
    for settings in ({}, {"private_addresses": "free"}, {"prices": str(prices)}):
        with budgeted(telemetry, **settings):
            client.chat(**ASK)
    unpriced, free, priced = (dict(span.attributes or {}) for span in telemetry.spans)
    assert "ollama" in str(unpriced[semconv.UNPRICED])
    assert free[semconv.COST] == 0
    assert priced[semconv.COST] == pytest.approx(0.0002)


def test_a_stream_is_not_begun_before_it_is_read(
    telemetry: Telemetry, model_server: ModelServer, client: ollama.Client
) -> None:
    """As without us, the generator sends the request with its first event."""
    model_server.replies(lines(PIECE, PIECE, LAST), lines(PIECE, PIECE, LAST))
    with budgeted(telemetry):
        stream = client.chat(**ASK, stream=True)
        assert model_server.requests == []
        assert len(list(stream)) == 3
        assert tokens(telemetry) == (100, 50)
        telemetry.clear()
        left: Any = client.chat(**ASK, stream=True)
        next(left)
        left.close()
        assert telemetry.attributes()[semconv.ESTIMATED] is True


async def test_asynchronous_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, streamed, and left early."""
    client: Any = ollama.AsyncClient(host=model_server.url)
    model_server.replies(json_reply(WHOLE), lines(PIECE, PIECE, LAST), lines(PIECE, PIECE, LAST))
    with budgeted(telemetry):
        await client.chat(**ASK)
        assert tokens(telemetry) == (100, 50)
        telemetry.clear()
        stream = await client.chat(**ASK, stream=True)
        assert len(model_server.requests) == 1
        assert len([event async for event in stream]) == 3
        assert tokens(telemetry) == (100, 50)
        telemetry.clear()
        left = await client.chat(**ASK, stream=True)
        await anext(left)
        await left.aclose()
        assert telemetry.attributes()[semconv.ESTIMATED] is True
    await client._client.aclose()


def test_a_rejected_request_costs_nothing(
    telemetry: Telemetry, model_server: ModelServer, client: ollama.Client
) -> None:
    """The SDK's own exception, and no reason to doubt."""
    model_server.replies(json_reply({"error": "no such model"}, status=404))
    with budgeted(telemetry), pytest.raises(ollama.ResponseError):
        client.chat(**ASK)
    assert semconv.UNPRICED not in telemetry.attributes()


def test_no_budget_of_tokens_is_overspent(
    telemetry: Telemetry, model_server: ModelServer, client: ollama.Client
) -> None:
    """What has no price still has tokens: a call that does not fit is not sent; `clamp` lowers its limit."""
    with budgeted(telemetry, budgets="total:tokens=500"):
        with pytest.raises(BudgetExceeded):
            client.chat(**ASK, options={"num_predict": 1000})
        with pytest.raises(BudgetExceeded):
            list(client.chat(**ASK, options={"num_predict": 1000}, stream=True))
    assert model_server.requests == []
    model_server.replies(json_reply(WHOLE))
    with budgeted(telemetry, budgets="total:tokens=500,on_exceed=clamp"):
        client.chat(**ASK, options={"num_predict": 1000})
    assert 0 < model_server.requests[0].json["options"]["num_predict"] < 500


COMPUTED = {"total_duration": 5_000_000_000, "load_duration": 1_000_000_000}


def test_a_machine_has_a_price_by_the_hour(
    telemetry: Telemetry, model_server: ModelServer, client: ollama.Client, tmp_path: Path
) -> None:
    """`compute_hours` in a price file prices the seconds that the machine took, and its tokens cost nothing."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"llama3": {"compute_hours": 1.8}}}))
    model_server.replies(*[json_reply({**WHOLE, **COMPUTED})] * 2, json_reply(WHOLE))
    with budgeted(telemetry, prices=str(prices)):
        client.chat(**ASK)
    said = telemetry.attributes()
    assert said[semconv.COST] == pytest.approx(5 * 1.8 / 3600)
    assert semconv.UNPRICED not in said
    telemetry.clear()
    with budgeted(telemetry):  # without a price of the machine, the seconds change nothing
        client.chat(**ASK)
    assert "compute" not in str(telemetry.attributes()[semconv.UNPRICED])
    telemetry.clear()
    with budgeted(telemetry, prices=str(prices)):  # a response that does not say how long it took
        client.chat(**ASK)
    assert "compute_seconds" in str(telemetry.attributes()[semconv.UNPRICED])


def test_seconds_of_a_machine_count_in_a_budget(
    telemetry: Telemetry, model_server: ModelServer, client: ollama.Client, tmp_path: Path
) -> None:
    """Nothing bounds them before a call: the call after the limit is refused."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"llama3": {"compute_hours": 1.8}}}))
    model_server.replies(*[json_reply({**WHOLE, **COMPUTED})] * 2)
    with budgeted(telemetry, prices=str(prices), budgets="total:usd=0.002"):
        client.chat(**ASK)
        with pytest.raises(BudgetExceeded):
            client.chat(**ASK)
    assert len(model_server.requests) == 1
