"""Mistral's SDK: priced, limited and left as it is, whole and streamed, synchronous and asynchronous."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.batch_provider import BatchProvider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

mistralai: Any = pytest.importorskip("mistralai.client", reason="mistralai is not here: `make neighbours`")
SDKError: Any = import_module("mistralai.client.errors").SDKError
EventStream: Any = import_module("mistralai.client.utils.eventstreaming").EventStream

MODEL = "mistral-small-2506"
BATCHED = "mistral-small-latest"
"""A model whose price for batches is in the book: $0.075 and $0.30 a million."""
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "How are you today?"}]}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
USD = 0.00016
"""1,000 input tokens at $0.10 and 200 output tokens at $0.30 a million."""
HEAD = {"id": "c1", "created": 1, "model": MODEL}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
WHOLE = {**HEAD, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}


def events(pieces: int = 3) -> list[Any]:
    chunk = {**HEAD, "object": "chat.completion.chunk"}
    delta = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
    return [*[{**chunk, "choices": [delta]}] * pieces, {**chunk, "choices": [last], "usage": USAGE}]


def spent(telemetry: Telemetry) -> tuple[object, object, object]:
    """Tokens and dollars of the only span."""
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS), said.get(semconv.COST)


def client(server: ModelServer) -> Any:
    return mistralai.Mistral(api_key="none", server_url=server.url)


def test_a_chat_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A response as without us, and a span with its dollars."""
    model_server.replies(json_reply(WHOLE))
    with client(model_server) as mistral, budgeted(telemetry):
        answered = mistral.chat.complete(**ASK)
    message: Any = answered.choices[0].message
    assert message.content == "It is four."
    assert spent(telemetry) == (1000, 200, USD)
    assert telemetry.attributes()[semconv.PROVIDER] == "mistral_ai"


def test_a_stream_stays_the_same_object(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An `EventStream`, whose last event ends the call; one that is left early is estimated."""
    model_server.replies(sse_reply(events(), done=True), sse_reply(events(), done=True))
    with client(model_server) as mistral, budgeted(telemetry):
        stream = mistral.chat.stream(**ASK)
        assert type(stream) is EventStream
        assert len(list(stream)) == 4
        assert spent(telemetry) == (1000, 200, USD)
        telemetry.clear()
        with mistral.chat.stream(**ASK) as stream:
            next(stream)
        assert telemetry.attributes()[semconv.ESTIMATED] is True


async def test_asynchronous_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(WHOLE), sse_reply(events(), done=True))
    async with client(model_server) as mistral:
        with budgeted(telemetry):
            await mistral.chat.complete_async(**ASK)
            assert spent(telemetry) == (1000, 200, USD)
            telemetry.clear()
            stream = await mistral.chat.stream_async(**ASK)
            assert len([event async for event in stream]) == 4
            assert spent(telemetry) == (1000, 200, USD)


def test_embeddings_and_code_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Embeddings, and fill-in-the-middle."""
    usage = {"prompt_tokens": 50, "completion_tokens": 0, "total_tokens": 50}
    data = [{"object": "embedding", "embedding": [0.1], "index": 0}]
    embedded = {"id": "e1", "object": "list", "model": "mistral-embed", "data": data, "usage": usage}
    model_server.replies(json_reply(embedded), json_reply({**WHOLE, "model": "codestral-2508"}))
    with client(model_server) as mistral, budgeted(telemetry):
        mistral.embeddings.create(model="mistral-embed", inputs=["some text that is embedded"])
        mistral.fim.complete(model="codestral-2508", prompt="def f(", suffix="return 1")
    costs = [dict(span.attributes or {})[semconv.COST] for span in telemetry.spans]
    assert costs == pytest.approx([50 * 0.1 / 1e6, (1000 * 0.3 + 200 * 0.9) / 1e6])


def test_a_rejected_request_costs_nothing(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The SDK raises its own exception when it parses the response."""
    model_server.replies(json_reply({"message": "no"}, status=400))
    with client(model_server) as mistral, budgeted(telemetry), pytest.raises(SDKError):
        mistral.chat.complete(**ASK)
    said = telemetry.attributes()
    assert said[semconv.ERROR_TYPE] == "400"
    assert semconv.UNPRICED not in said


def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent, streamed or not; `clamp` lowers its limit."""
    with client(model_server) as mistral:
        with budgeted(telemetry, budgets="total:usd=0.0001"):
            with pytest.raises(BudgetExceeded):
                mistral.chat.complete(**ASK, max_tokens=1000)
            with pytest.raises(BudgetExceeded):
                mistral.chat.stream(**ASK, max_tokens=1000)
        assert model_server.requests == []
        model_server.replies(json_reply(WHOLE))
        with budgeted(telemetry, budgets="total:usd=0.001,on_exceed=clamp"):
            mistral.chat.complete(**ASK, max_tokens=100_000)
    assert 0 < model_server.requests[0].json["max_tokens"] < 5_000


def test_what_is_sent_does_not_change(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Without a budget, the provider gets the same bytes as without us."""
    model_server.replies(json_reply(WHOLE), json_reply(WHOLE))
    with client(model_server) as mistral:
        mistral.chat.complete(**ASK)
        with budgeted(telemetry):
            mistral.chat.complete(**ASK)
    first, second = (request.body for request in model_server.requests)
    assert first == second
    assert json.loads(first)["model"] == MODEL


def test_a_conversation_that_is_stored_is_not_bounded(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its history is at Mistral; its usage is that of a chat, with the tokens of connectors named."""
    outputs = [{"type": "message.output", "content": "Well.", "role": "assistant"}]
    usage = {**USAGE, "connector_tokens": 10}
    answer = {"object": "conversation.response", "conversation_id": "v1", "outputs": outputs, "usage": usage}
    model_server.replies(json_reply(answer))
    with client(model_server) as mistral, budgeted(telemetry):
        mistral.beta.conversations.start(model=MODEL, inputs="How are you today?")
    assert spent(telemetry) == (1000, 200, USD)
    assert "connector tokens" in str(telemetry.attributes()[semconv.UNPRICED])


def batch_results(mistral: Any, *, inline: bool) -> str:
    """The results of a batch as text, read in one of two ways."""
    if inline:
        return str(mistral.batch.jobs.get(job_id="job_1", inline=True).outputs)
    job = mistral.batch.jobs.get(job_id="job_1")
    return str(mistral.files.download(file_id=job.output_file).read())


@pytest.mark.parametrize("inline", [False, True], ids=["in a file", "in the job"])
def test_a_batch_is_settled_once(telemetry: Telemetry, model_server: ModelServer, *, inline: bool) -> None:
    """Three lines at half the price of chats; the two that failed are free, and so is a second reading."""
    provider = model_server.responder = BatchProvider()
    provider.inlined = inline
    with client(model_server) as mistral, budgeted(telemetry, budgets="user:usd=1"):
        with otel_agentcost.attribute(user="u1"):
            mistral.batch.jobs.create(endpoint="/v1/chat/completions", model=BATCHED, input_files=["file-in"])
        mistral.batch.jobs.get(job_id="job_1")
        provider.finish()
        first, second = (batch_results(mistral, inline=inline) for _ in range(2))
    assert first == second
    settled = telemetry.attributes(f"settle_batch {BATCHED}")
    assert settled[semconv.COST] == pytest.approx(3 * (1000 * 0.075 + 100 * 0.30) / 1e6)
    assert settled[semconv.USER] == "u1"


def test_a_conversation_that_goes_on_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its path ends with its id."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    entry = {"type": "message.output", "role": "assistant", "content": "Well.", "model": MODEL}
    model_server.replies(json_reply({"conversation_id": "c1", "outputs": [entry], "usage": usage}))
    with client(model_server) as mistral, budgeted(telemetry):
        mistral.beta.conversations.append(conversation_id="c1", inputs="And today?")
    assert spent(telemetry)[:2] == (1000, 200)
