"""azure-ai-inference: chats and embeddings, with every field that the service sends."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

REASON = "azure-ai-inference is not here: pip install 'otel-agentcost[coexist]'"
inference: Any = pytest.importorskip("azure.ai.inference", reason=REASON)
aio: Any = pytest.importorskip("azure.ai.inference.aio", reason=REASON)
models: Any = pytest.importorskip("azure.ai.inference.models", reason=REASON)
core: Any = pytest.importorskip("azure.core", reason=REASON)

MODEL = "gpt-4o-mini"
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 400},
}
USD = (600 * 0.15 + 400 * 0.075 + 200 * 0.6) / 1e6
"""The SDK has no attribute for the details of a usage. The price of cached tokens needs them."""
HEAD = {"id": "c1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
WHOLE = {**HEAD, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}
PIECE = {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}]}
LAST = {**HEAD, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}], "usage": USAGE}
EVENTS = [*[PIECE] * 3, LAST]
MESSAGES = [models.SystemMessage("Be brief."), models.UserMessage("How are you today?")]


def client(server: ModelServer, kind: Any = None, path: str = "", **more: Any) -> Any:
    credential = core.credentials.AzureKeyCredential("none")
    kind = kind or inference.ChatCompletionsClient
    return kind(endpoint=server.url + path, credential=credential, retry_total=0, **{"model": MODEL, **more})


def judge(telemetry: Telemetry, usd: float = USD) -> None:
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 200)
    assert (said[semconv.PROVIDER], said[semconv.COST]) == ("azure.ai.inference", pytest.approx(usd))
    telemetry.clear()


def test_chats_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, streamed to the end, and with a body of the application's own, in each of its forms."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "How are you today?"}]}
    model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, done=True), *[json_reply(WHOLE)] * 3)
    with client(model_server) as made, budgeted(telemetry):
        assert made.complete(messages=MESSAGES).choices[0].message.content == "It is four."
        judge(telemetry)
        assert len(list(made.complete(messages=MESSAGES, stream=True))) == 4
        judge(telemetry)
        made.complete(body)
        judge(telemetry)
        made.complete(body=json.dumps(body).encode())
        judge(telemetry)
        file = io.BytesIO(json.dumps(body).encode())
        made.complete(file)
        judge(telemetry)
    assert model_server.requests[-1].json == body


async def test_asynchronous_chats_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The same."""
    model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, done=True))
    async with client(model_server, aio.ChatCompletionsClient) as made:
        with budgeted(telemetry):
            await made.complete(messages=MESSAGES)
            judge(telemetry)
            assert len([event async for event in await made.complete(messages=MESSAGES, stream=True)]) == 4
            judge(telemetry)


def test_the_deployment_in_an_address_is_not_overlooked(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It decides, as it does for openai's client."""
    model_server.replies(json_reply({**WHOLE, "model": None}))
    with client(model_server, path="/openai/deployments/gpt-4o", model=None) as made, budgeted(telemetry):
        made.complete(messages=MESSAGES)
    assert telemetry.attributes()[semconv.REQUEST_MODEL] == "gpt-4o"


def test_embeddings_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """By the input token."""
    answer = {
        "id": "e1",
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"index": 0, "object": "embedding", "embedding": [0.1]}],
        "usage": {"prompt_tokens": 500, "total_tokens": 500},
    }
    model_server.replies(json_reply(answer))
    with client(model_server, inference.EmbeddingsClient, model="text-embedding-3-small") as made, budgeted(telemetry):
        made.embed(input=["some text"])
    said = telemetry.attributes()
    assert (said[semconv.OPERATION], said[semconv.INPUT_TOKENS]) == (semconv.EMBEDDINGS, 500)
    assert said[semconv.COST] == pytest.approx(500 * 0.02 / 1e6)


def test_a_stream_that_is_left_is_not_free(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It is estimated when it is closed."""
    model_server.replies(sse_reply([PIECE] * 50, done=True))
    with client(model_server) as made, budgeted(telemetry):
        with made.complete(messages=MESSAGES, stream=True) as stream:
            next(stream)
        assert telemetry.attributes()[semconv.ESTIMATED] is True


def test_an_error_is_not_charged(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The SDK's exception comes out as it is."""
    model_server.replies(json_reply({"error": {"message": "no"}}, status=400))
    with client(model_server) as made, budgeted(telemetry), pytest.raises(core.exceptions.HttpResponseError):
        made.complete(messages=MESSAGES)
    said = telemetry.attributes()
    assert semconv.ERROR_TYPE in said
    assert semconv.COST not in said
    assert semconv.UNPRICED not in said


async def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent, also where the client has the limit; the refusal comes out as itself."""
    with budgeted(telemetry, budgets="total:usd=0.0001"):
        with client(model_server, max_tokens=10_000) as made, pytest.raises(BudgetExceeded):
            made.complete(messages=MESSAGES)
        with client(model_server) as made, pytest.raises(BudgetExceeded):
            made.complete(messages=MESSAGES, max_tokens=10_000, stream=True)
        async with client(model_server, aio.ChatCompletionsClient) as other:
            with pytest.raises(BudgetExceeded):
                await other.complete(messages=MESSAGES, max_tokens=10_000)
    assert model_server.requests == []


@pytest.mark.parametrize("as_body", [False, True])
def test_a_limit_that_is_too_high_is_lowered(telemetry: Telemetry, model_server: ModelServer, *, as_body: bool) -> None:
    """In the arguments, or in a copy of the body."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100_000}
    model_server.replies(json_reply(WHOLE))
    with client(model_server) as made, budgeted(telemetry, budgets="total:usd=0.001,on_exceed=clamp"):
        made.complete(body) if as_body else made.complete(messages=MESSAGES, max_tokens=100_000)
    assert 0 < model_server.requests[0].json["max_tokens"] < 5_000
    assert body["max_tokens"] == 100_000
