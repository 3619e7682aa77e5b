"""Amazon Bedrock through aiobotocore: the asynchronous client has the same calls, and other streams."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings, runtime
from otel_agentcost.core import semconv
from tests.support.event_frames import converse_reply, invoke_reply
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply

session: Any = pytest.importorskip(
    "aiobotocore.session", reason="aiobotocore does not admit the newest botocore: `make frameworks`"
)

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
USAGE = {"inputTokens": 2000, "outputTokens": 183, "totalTokens": 2183}
USD = 0.0096195
"""2,000 input tokens at $3.30 and 183 output tokens at $16.50 a million."""
ASK: dict[str, Any] = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": "How are you today?"}]}]}
SAID = {"message": {"role": "assistant", "content": [{"text": "It is four."}]}}
WHOLE = {"output": SAID, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}
EVENTS: list[tuple[str, Any]] = [
    ("messageStart", {"role": "assistant"}),
    *[("contentBlockDelta", {"delta": {"text": "word "}, "contentBlockIndex": 0})] * 20,
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 3}}),
]
BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = {
    "id": "msg_1",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Well."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 200, "output_tokens": 20},
}


@contextmanager
def budgeted(telemetry: Telemetry, **settings: Any) -> Generator[None]:
    """Instruments with these settings, for a block."""
    runtime.start(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        settings=Settings(**settings),
    )
    try:
        yield
    finally:
        otel_agentcost.uninstrument()


@asynccontextmanager
async def bedrock(server: ModelServer) -> AsyncGenerator[Any]:
    """A client that sends its requests to the local server."""
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
    async with session.get_session().create_client("bedrock-runtime", endpoint_url=server.url, **keys) as client:
        yield client


def spent(telemetry: Telemetry) -> tuple[object, object, object]:
    """Tokens and dollars of the only span."""
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS), said.get(semconv.COST)


async def test_converse_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(WHOLE), converse_reply(EVENTS))
    async with bedrock(model_server) as client:
        with budgeted(telemetry):
            await client.converse(**ASK)
            assert spent(telemetry) == (2000, 183, USD)
            telemetry.clear()
            stream = (await client.converse_stream(**ASK))["stream"]
            assert len([event async for event in stream]) == len(EVENTS)
            assert spent(telemetry) == (2000, 183, USD)


async def test_a_closed_stream_is_not_forgotten(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its tokens are estimated."""
    model_server.replies(converse_reply(EVENTS))
    async with bedrock(model_server) as client:
        with budgeted(telemetry):
            stream = (await client.converse_stream(**ASK))["stream"]
            async for _ in stream:
                break
            stream.close()
            assert telemetry.attributes()[semconv.ESTIMATED] is True


@pytest.mark.parametrize("how", ["read", "with", "chunks"])
async def test_a_body_is_not_missed(telemetry: Telemetry, model_server: ModelServer, how: str) -> None:
    """However the application reads it."""
    model_server.replies(json_reply(ANSWER))
    async with bedrock(model_server) as client:
        with budgeted(telemetry):
            body = (await client.invoke_model(modelId=CLAUDE, body=json.dumps(BODY)))["body"]
            if how == "read":
                read = await body.read()
            elif how == "with":
                async with body as opened:
                    read = await opened.read()
            else:
                read = b"".join([chunk async for chunk in body.iter_chunks(16)])
            assert json.loads(read) == ANSWER
            assert spent(telemetry) == (200, 20, 0.00099)


async def test_a_streamed_body_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Events of Anthropic in the frames of Amazon."""
    model_server.replies(
        invoke_reply(
            [
                {"type": "message_start", "message": {**ANSWER, "usage": {"input_tokens": 200}}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
            ]
        )
    )
    async with bedrock(model_server) as client:
        with budgeted(telemetry):
            response = await client.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(BODY))
            assert len([event async for event in response["body"]]) == 2
            assert spent(telemetry) == (200, 20, 0.00099)


async def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A call that does not fit is not sent."""
    async with bedrock(model_server) as client:
        with budgeted(telemetry, budgets="total:usd=0.001"), pytest.raises(BudgetExceeded):
            await client.converse(**ASK, inferenceConfig={"maxTokens": 1000})
    assert model_server.requests == []
