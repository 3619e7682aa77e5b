"""Bodies of Bedrock's InvokeModel that no SDK of AWS sends: by a plain client with a key of Bedrock's."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.integrations.http.senders import led_to_local
from tests.support.budgeted_calls import budgeted
from tests.support.event_frames import invoke_reply
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 100,
}
ANSWER = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Well."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 200, "output_tokens": 20},
}
EVENTS = [
    {"type": "message_start", "message": {**ANSWER, "usage": {"input_tokens": 200}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Well."}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
    {"type": "message_stop"},
]
LLAMA = {"generation": "Ha", "prompt_token_count": 8, "generation_token_count": 35, "stop_reason": "stop"}
CLAUDE_USD = (200 * 3.3 + 20 * 16.5) / 1e6


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host is this machine."""
    led_to_local(monkeypatch)


def post(server: ModelServer, model: str, body: Any, operation: str = "invoke") -> bytes:
    port = server.url.rpartition(":")[2]
    url = f"http://bedrock-runtime.us-east-1.amazonaws.com:{port}/model/{model}/{operation}"
    content: bytes = httpx.post(url, json=body, headers={"authorization": "Bearer none"}).content
    return content


def judge(telemetry: Telemetry, tokens: tuple[int, int], usd: float) -> None:
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == tokens
    assert said[semconv.COST] == pytest.approx(usd)
    telemetry.clear()


def test_bodies_of_every_family_are_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Those of Claude and of Llama, whole, and framed in a stream."""
    model_server.replies(json_reply(ANSWER), invoke_reply(EVENTS), json_reply(LLAMA))
    with budgeted(telemetry):
        post(model_server, CLAUDE, CLAUDE_BODY)
        judge(telemetry, (200, 20), CLAUDE_USD)
        post(model_server, CLAUDE, CLAUDE_BODY, "invoke-with-response-stream")
        judge(telemetry, (200, 20), CLAUDE_USD)
        post(model_server, "meta.llama3-70b-instruct-v1:0", {"prompt": "Tell me a joke", "max_gen_len": 128})
        judge(telemetry, (8, 35), (8 * 2.65 + 35 * 3.5) / 1e6)


def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent."""
    with budgeted(telemetry, budgets="total:usd=0.001"), pytest.raises(BudgetExceeded):
        post(model_server, CLAUDE, CLAUDE_BODY)
    assert model_server.requests == []
