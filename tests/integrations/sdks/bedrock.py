"""A client of Amazon Bedrock for the local server, and what Bedrock answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from typing import Any

import boto3
from botocore.config import Config

from otel_agentcost.core import semconv
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
USAGE = {"inputTokens": 2000, "outputTokens": 183, "totalTokens": 3207, "cacheReadInputTokens": 1024}
USD = 0.00995742
"""2,000 input tokens at $3.30, 1,024 cached ones at $0.33, 183 output tokens at $16.50 a million."""
ASK: dict[str, Any] = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": "How are you today?"}]}]}
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "It is four."}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 1},
}
PIECE = ("contentBlockDelta", {"delta": {"text": "word "}, "contentBlockIndex": 0})
END = [
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 3}}),
]
EVENTS = [("messageStart", {"role": "assistant"}), *[PIECE] * 20, *END]
CLAUDE_BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "How are you today?"}],
}
CLAUDE_ANSWER = {
    "id": "msg_1",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Well."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 200, "output_tokens": 20},
}
HEADERS = {"X-Amzn-Bedrock-Input-Token-Count": "33", "X-Amzn-Bedrock-Output-Token-Count": "44"}


def converse_output(client: Any) -> Any:
    """What botocore reads of a response of Converse: it drops what its release does not know."""
    return client.meta.service_model.operation_model("Converse").output_shape


@contextlib.contextmanager
def bedrock(server: ModelServer, service: str = "bedrock-runtime") -> Generator[Any]:
    """A client of botocore that sends its requests to the local server, once each."""
    make: Any = boto3.client
    client = make(
        service,
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"max_attempts": 0}),
    )
    with contextlib.closing(client):
        yield client


def spent(telemetry: Telemetry) -> tuple[object, object, object]:
    """Tokens and dollars of the only span."""
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS), said.get(semconv.COST)


def invoked(client: Any, body: Any, model: str = CLAUDE, **more: Any) -> Any:
    return client.invoke_model(modelId=model, body=json.dumps(body), **more)
