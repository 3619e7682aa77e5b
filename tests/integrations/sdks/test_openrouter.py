"""OpenRouter's SDK: its stated cost, streams, and calls that only look like calls of a model."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

openrouter: Any = pytest.importorskip("openrouter", reason="openrouter is not here: `make neighbours`")

ASK: dict[str, Any] = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "How are you today?"}]}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200, "cost": 0.0123}
HEAD = {"id": "c1", "created": 1, "model": "openai/gpt-4o-mini", "system_fingerprint": None}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
WHOLE = {**HEAD, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}
CHUNK = {**HEAD, "object": "chat.completion.chunk"}
PIECE = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
EVENTS = [
    *[PIECE] * 3,
    {**CHUNK, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}], "usage": USAGE},
]


def client(server: ModelServer) -> Any:
    return openrouter.OpenRouter(api_key="none", server_url=f"{server.url}/api/v1")


def judge(telemetry: Telemetry) -> None:
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 200)
    assert (said[semconv.PROVIDER], said[semconv.COST]) == ("openrouter", 0.0123)
    assert said[semconv.COST_SOURCE] == "provider"
    telemetry.clear()


async def test_chats_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole and streamed, sync and async, at the cost that OpenRouter states."""
    for _ in range(2):
        model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, done=True))
    with client(model_server) as made, budgeted(telemetry):
        made.chat.send(**ASK)
        judge(telemetry)
        with made.chat.send(**ASK, stream=True) as events:
            assert len(list(events)) == 4
        judge(telemetry)
        await made.chat.send_async(**ASK)
        judge(telemetry)
        async with await made.chat.send_async(**ASK, stream=True) as events:
            assert len([event async for event in events]) == 4
        judge(telemetry)


def test_a_preset_is_not_charged(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It is made from the body of a chat, at a path that ends as that of a chat: no model runs."""
    model_server.replies(json_reply({"data": {}}))
    with client(model_server) as made, budgeted(telemetry), pytest.raises(Exception, match="validation"):
        made.presets.create_presets_chat_completions(slug="mine", **ASK)
    assert len(model_server.requests) == 1
    assert telemetry.spans == ()


def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent, and the refusal comes out as itself."""
    with budgeted(telemetry, budgets="total:usd=0.0001"), client(model_server) as made, pytest.raises(BudgetExceeded):
        made.chat.send(**ASK, max_tokens=10_000)
    assert model_server.requests == []
