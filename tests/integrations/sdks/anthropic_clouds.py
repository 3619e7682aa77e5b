"""Claude on Bedrock, Vertex AI and Foundry, through the anthropic SDK's own clients for them.

Bedrock charges 10 % more where a region is chosen ("us.", "eu.", no prefix) than for its global profiles.
"""

from __future__ import annotations

import base64
import json
from binascii import crc32
from collections.abc import Callable
from struct import pack
from typing import Any

from anthropic import AnthropicFoundry, AsyncAnthropicFoundry
from anthropic.lib.bedrock import AnthropicBedrock, AsyncAnthropicBedrock
from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex

from tests.integrations.sdks.anthropic_shapes import ASK, CACHED, CACHED_SPEND, whole
from tests.integrations.sdks.hosts import led
from tests.support.call_shapes import Shape, Spend
from tests.support.model_server import Reply, json_reply
from tests.support.replies import (
    MESSAGE,
    MESSAGE_CACHED_USD,
    MESSAGE_USD,
    SONNET,
    message,
    message_events,
    message_stream,
)

_AWS: dict[str, Any] = {"aws_region": "us-east-1", "aws_access_key": "a", "aws_secret_key": "s", "max_retries": 0}
_GCP: dict[str, Any] = {"region": "global", "project_id": "p", "access_token": "t", "max_retries": 0}


def bedrock(url: str, **options: Any) -> AnthropicBedrock:
    """A client for Bedrock with made-up credentials."""
    made: dict[str, Any] = {**_AWS, "base_url": url, **options}
    return AnthropicBedrock(**made)


def asking(model: str, open_client: Callable[[str], Any], read: Callable[[Any], Any] = lambda r: r, **more: Any) -> Any:
    """Asks `model` with a client of `open_client`."""

    def run(url: str) -> Any:
        with open_client(url) as client:
            return read(client.messages.create(**{**ASK, "model": model, **more}))

    return run


def asking_async(model: str, open_client: Callable[[str], Any]) -> Any:
    """`asking` with an asynchronous client."""

    async def run(url: str) -> Any:
        async with open_client(url) as client:
            return await client.messages.create(**{**ASK, "model": model})

    return run


def _frame(event: dict[str, Any]) -> bytes:
    """One message of Amazon's binary event stream."""
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    names = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        pack("!B", len(name)) + name.encode() + b"\x07" + pack("!H", len(value)) + value.encode()
        for name, value in names.items()
    )
    head = pack("!II", len(payload) + len(headers) + 16, len(headers))
    body = head + pack("!I", crc32(head)) + headers + payload
    return body + pack("!I", crc32(body))


AMAZON_STREAM = Reply(
    content_type="application/vnd.amazon.eventstream", chunks=[_frame(event) for event in message_events()]
)
PLAIN = json_reply(message(MESSAGE))
GLOBAL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
REGIONAL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def spent(model: str, provider: str, usd: float = MESSAGE_USD) -> Spend:
    """A plain message: 100 tokens in, 50 out."""
    return Spend(name=f"chat {model}", provider=provider, served=SONNET, input=100, output=50, usd=usd)


def cached(model: str, provider: str, usd: float) -> Spend:
    """A message with everything in it."""
    return Spend(
        name=f"chat {model}",
        provider=provider,
        served=SONNET,
        input=1461,
        output=183,
        cache_read=1024,
        cache_write=256,
        usd=usd,
    )


BEDROCK = [
    Shape(
        name="Bedrock, a region",
        run=asking(REGIONAL, bedrock),
        replies=[PLAIN],
        spends=[spent(REGIONAL, "aws.bedrock", 0.001155)],  # 1.1 x 0.00105
    ),
    Shape(
        name="Bedrock, global",
        run=asking(GLOBAL, bedrock),
        replies=[PLAIN],
        spends=[spent(GLOBAL, "aws.bedrock")],
    ),
    Shape(
        name="Bedrock, real address",
        run=asking(GLOBAL, lambda url: AnthropicBedrock(**_AWS, http_client=led(url))),
        replies=[PLAIN],
        spends=[spent(GLOBAL, "aws.bedrock")],
    ),
    Shape(
        name="Bedrock, stream",
        run=asking(GLOBAL, bedrock, whole, stream=True),
        replies=[AMAZON_STREAM],
        spends=[cached(GLOBAL, "aws.bedrock", MESSAGE_CACHED_USD)],
    ),
    Shape(
        name="Bedrock, async",
        run=asking_async(GLOBAL, lambda url: AsyncAnthropicBedrock(**_AWS, base_url=url)),
        replies=[PLAIN],
        spends=[spent(GLOBAL, "aws.bedrock")],
    ),
]
OTHERS = [
    Shape(
        name="Vertex",
        run=asking("claude-sonnet-4-5@20250929", lambda url: AnthropicVertex(**_GCP, base_url=url)),
        replies=[PLAIN],
        spends=[spent("claude-sonnet-4-5@20250929", "gcp.vertex_ai")],
    ),
    Shape(
        name="Vertex, stream",
        run=asking("claude-sonnet-4-5@20250929", lambda url: AnthropicVertex(**_GCP, base_url=url), whole, stream=True),
        replies=[message_stream()],
        spends=[cached("claude-sonnet-4-5@20250929", "gcp.vertex_ai", MESSAGE_CACHED_USD)],
    ),
    Shape(
        name="Vertex, async",
        run=asking_async("claude-sonnet-4-5@20250929", lambda url: AsyncAnthropicVertex(**_GCP, base_url=url)),
        replies=[PLAIN],
        spends=[spent("claude-sonnet-4-5@20250929", "gcp.vertex_ai")],
    ),
    Shape(
        name="Foundry",
        run=asking("claude-sonnet-4-5", lambda url: AnthropicFoundry(api_key="k", base_url=url, max_retries=0)),
        replies=[CACHED],
        spends=[cached("claude-sonnet-4-5", "azure.ai.inference", CACHED_SPEND.usd or 0.0)],
    ),
    Shape(
        name="Foundry, async",
        run=asking_async(
            "claude-sonnet-4-5", lambda url: AsyncAnthropicFoundry(api_key="k", base_url=url, max_retries=0)
        ),
        replies=[CACHED],
        spends=[cached("claude-sonnet-4-5", "azure.ai.inference", CACHED_SPEND.usd or 0.0)],
    ),
]
SHAPES = [*BEDROCK, *OTHERS]
