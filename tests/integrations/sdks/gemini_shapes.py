"""Generations and embeddings of the google-genai SDK, in every shape in which an application can ask for one.

List prices in dollars per million tokens: gemini-2.5-flash 0.30 (cached 0.03)/2.50, gemini-embedding-001 0.15.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from tests.integrations.sdks.hosts import led
from tests.support.call_shapes import Shape, Spend, a_tool
from tests.support.model_server import Reply, json_reply, sse_reply
from tests.support.replies import GEMINI_USD, content, content_stream

MODEL = "gemini-2.5-flash"
ASK: dict[str, Any] = {"model": MODEL, "contents": "What is the answer?"}
NAME = f"generate_content {MODEL}"
SPENT = Spend(
    name=NAME,
    operation="generate_content",
    provider="gcp.gemini",
    served=MODEL,
    input=1000,
    output=80,
    cache_read=400,
    reasoning=30,
    usd=GEMINI_USD,
)


def sync(use: Callable[[genai.Client], Any], **options: Any) -> Callable[[str], Any]:
    """Opens a client for `use`, and closes it."""

    def run(url: str) -> Any:
        made: dict[str, Any] = {"api_key": "none", "http_options": types.HttpOptions(base_url=url), **options}
        with genai.Client(**made) as client:
            return use(client)

    return run


def asynchronous(use: Callable[[Any], Awaitable[Any]], **options: Any) -> Callable[[str], Any]:
    """`sync` for the asynchronous half of a client."""

    async def run(url: str) -> Any:
        made: dict[str, Any] = {"api_key": "none", "http_options": types.HttpOptions(base_url=url), **options}
        with genai.Client(**made) as client:
            async with client.aio as asynchronous_client:
                return await use(asynchronous_client)

    return run


def temperature(city: str) -> str:
    """The temperature in a city."""
    return f"20 degrees in {city}"


CALLED = content(parts=[{"functionCall": {"name": "temperature", "args": {"city": "Oslo"}}}])
CALL = json_reply(CALLED)
CONTENT = json_reply(content())
WITH_TOOL = types.GenerateContentConfig(tools=[temperature])


def chat(client: genai.Client) -> list[Any]:
    """Two messages of one chat, the second streamed."""
    talk = client.chats.create(model=MODEL)
    return [talk.send_message("Hello"), *talk.send_message_stream("And?"), talk.get_history()]


async def chat_async(client: Any) -> list[Any]:
    """`chat` for an asynchronous client."""
    talk = client.chats.create(model=MODEL)
    first = await talk.send_message("Hello")
    return [first, *[chunk async for chunk in await talk.send_message_stream("And?")]]


async def stream_async(client: Any) -> list[Any]:
    """A stream of an asynchronous client."""
    return [chunk async for chunk in await client.models.generate_content_stream(**ASK)]


def real_address(url: str) -> Any:
    """Google's own address, and its version in the path."""
    with led(url) as http:
        options = types.HttpOptions(httpx_client=http)
        with genai.Client(api_key="none", http_options=options) as client:
            return client.models.generate_content(**ASK)


_credentials: Any = Credentials  # which has no types
VERTEX: dict[str, Any] = {
    "api_key": None,
    "vertexai": True,
    "project": "p",
    "location": "us-central1",
    "credentials": _credentials(token="t"),
}
ON_VERTEX = replace(SPENT, provider="gcp.vertex_ai")


def shape(name: str, use: Any, replies: Sequence[Reply], *spends: Spend, **options: Any) -> Shape:
    """A shape of a synchronous client."""
    return Shape(name=name, run=sync(use, **options), replies=replies, spends=spends)


def async_shape(name: str, use: Any, replies: Sequence[Reply], *spends: Spend, **options: Any) -> Shape:
    """A shape of an asynchronous client."""
    return Shape(name=f"async {name}", run=asynchronous(use, **options), replies=replies, spends=spends)


_EMBEDDING = {"embeddings": [{"values": [0.5]}], "usageMetadata": {"promptTokenCount": 8}}
_EMBED: dict[str, Any] = {"model": "gemini-embedding-001", "contents": "eight tokens of text"}
EMBEDDED = Spend(
    name="embeddings gemini-embedding-001",
    operation="embeddings",
    provider="gcp.gemini",
    input=8,
    output=0,
    usd=0.0000012,  # 8 x 0.15
)

TOOL = a_tool("temperature")

SHAPES = [
    shape("generate_content", lambda c: c.models.generate_content(**ASK), [CONTENT], SPENT),
    shape(
        "generate_content_stream", lambda c: list(c.models.generate_content_stream(**ASK)), [content_stream()], SPENT
    ),
    Shape(name="real address", run=real_address, replies=[CONTENT], spends=[SPENT]),
    shape("chats", chat, [CONTENT, content_stream()], SPENT, SPENT),
    shape(
        "automatic function calling",
        lambda c: c.models.generate_content(**ASK, config=WITH_TOOL),
        [CALL, CALL, CONTENT],
        SPENT,
        TOOL,
        SPENT,
        TOOL,
        SPENT,
    ),
    shape(
        "automatic function calling, streamed",
        lambda c: list(c.models.generate_content_stream(**ASK, config=WITH_TOOL)),
        [sse_reply([CALLED]), content_stream()],
        TOOL,  # it is called before its stream is read to the end
        SPENT,
        SPENT,
    ),
    shape("embed_content", lambda c: c.models.embed_content(**_EMBED), [json_reply(_EMBEDDING)], EMBEDDED),
    shape(
        "embed_content without usage",
        lambda c: c.models.embed_content(**_EMBED),
        [json_reply({"embeddings": [{"values": [0.5]}]})],
        Spend(
            name="embeddings gemini-embedding-001",
            operation="embeddings",
            provider="gcp.gemini",
            estimated=True,
        ),
    ),
    shape("count_tokens", lambda c: c.models.count_tokens(**ASK), [json_reply({"totalTokens": 8})]),
    shape("models.get", lambda c: c.models.get(model=MODEL), [json_reply({"name": MODEL})]),
    shape("Vertex", lambda c: c.models.generate_content(**ASK), [CONTENT], ON_VERTEX, **VERTEX),
    shape(
        "Vertex stream",
        lambda c: list(c.models.generate_content_stream(**ASK)),
        [content_stream()],
        ON_VERTEX,
        **VERTEX,
    ),
    async_shape("generate_content", lambda c: c.models.generate_content(**ASK), [CONTENT], SPENT),
    async_shape("generate_content_stream", stream_async, [content_stream()], SPENT),
    async_shape("chats", chat_async, [CONTENT, content_stream()], SPENT, SPENT),
    async_shape(
        "automatic function calling",
        lambda c: c.models.generate_content(**ASK, config=WITH_TOOL),
        [CALL, CONTENT],
        SPENT,
        TOOL,
        SPENT,
    ),
    async_shape("embed_content", lambda c: c.models.embed_content(**_EMBED), [json_reply(_EMBEDDING)], EMBEDDED),
    async_shape("Vertex", lambda c: c.models.generate_content(**ASK), [CONTENT], ON_VERTEX, **VERTEX),
]
