"""Hugging Face's inference client: chats, whole and streamed, at any server that speaks OpenAI's format."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
MESSAGES: Any = [{"role": "user", "content": "How are you today?"}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
HEAD = {"id": "c1", "created": 1, "model": MODEL, "system_fingerprint": ""}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
WHOLE = {**HEAD, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}
CHUNK = {**HEAD, "object": "chat.completion.chunk"}
PIECE = {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}]}
EVENTS = [*[PIECE] * 3, {**CHUNK, "choices": [], "usage": USAGE}]


def tokens(telemetry: Telemetry) -> tuple[object, object]:
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS)


def test_a_chat_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, and streamed; the tokens are those of the server."""
    model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, done=True))
    with InferenceClient(base_url=model_server.url, api_key="none") as client, budgeted(telemetry):
        answered = client.chat_completion(MESSAGES, model=MODEL)
        assert answered.choices[0].message.content == "It is four."
        assert tokens(telemetry) == (1000, 200)
        telemetry.clear()
        assert len(list(client.chat_completion(MESSAGES, model=MODEL, stream=True))) == 4
        assert tokens(telemetry) == (1000, 200)


async def test_an_asynchronous_chat_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, done=True))
    async with AsyncInferenceClient(base_url=model_server.url, api_key="none") as client:
        with budgeted(telemetry):
            await client.chat_completion(MESSAGES, model=MODEL)
            assert tokens(telemetry) == (1000, 200)
            telemetry.clear()
            stream = await client.chat_completion(MESSAGES, model=MODEL, stream=True)
            assert len([event async for event in stream]) == 4
            await asyncio.sleep(0.05)  # the client leaves the lines at `[DONE]`, and the event loop closes them
            assert tokens(telemetry) == (1000, 200)


def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent."""
    refused = pytest.raises(BudgetExceeded)
    limited = budgeted(telemetry, budgets="total:tokens=500")
    with InferenceClient(base_url=model_server.url, api_key="none") as client, limited, refused:
        client.chat_completion(MESSAGES, model=MODEL, max_tokens=1000)
    assert model_server.requests == []


def test_a_rejected_request_costs_nothing(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The SDK's own exception has the response."""
    model_server.replies(json_reply({"error": "no"}, status=400))
    failed = pytest.raises(HfHubHTTPError)
    with InferenceClient(base_url=model_server.url, api_key="none") as client, budgeted(telemetry), failed:
        client.chat_completion(MESSAGES, model=MODEL)
    assert semconv.UNPRICED not in telemetry.attributes()
