"""Makes a recorded call again: the real SDK, its real base URL, and a local server that gives the recorded answer."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
import openai
from google import genai
from google.genai import types

from tests.support.model_server import ModelServer, Reply
from tests.wire import genai_prices_usage


class Redirect(httpx2.HTTPTransport):
    """Sends every request to the local server, whatever host it is meant for."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = httpx2.URL(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return super().handle_request(redirected(request, self._to))


class AsyncRedirect(httpx2.AsyncHTTPTransport):
    """The same for asynchronous clients."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await super().handle_async_request(redirected(request, self._to))


def redirected(request: httpx2.Request, to: httpx2.URL) -> httpx2.Request:
    """`request`, addressed to `to` instead."""
    request.url = request.url.copy_with(scheme=to.scheme, host=to.host, port=to.port)
    return request


def reply_of(line: Mapping[str, Any]) -> Reply:
    """The recorded answer; an event stream comes in many small pieces, cut without regard to its events."""
    body = line["response"].encode()
    kind = line["content_type"] or "application/json"
    if not genai_prices_usage.is_stream(line):
        return Reply(status=line["status"], content_type=kind, body=body)
    pieces = [body[at : at + 700] for at in range(0, len(body), 700)]
    return Reply(status=line["status"], content_type=kind, chunks=pieces)


METHODS: dict[str, str] = {
    "/chat/completions": "chat.completions.create",
    "/completions": "completions.create",
    "/responses": "responses.create",
    "/embeddings": "embeddings.create",
    "/images/generations": "images.generate",
    "/v1/messages": "messages.create",
}


def method_of(client: Any, path: str) -> Callable[..., Any]:
    """The SDK's public method for `path`."""
    found: Any = client
    for name in next(name for end, name in METHODS.items() if path.endswith(end)).split("."):
        found = getattr(found, name)
    method: Callable[..., Any] = found
    return method


def arguments(method: Callable[..., Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` as the method's arguments; what it has no argument for goes into the body as it is."""
    known = set(inspect.signature(method).parameters)
    given = {name: value for name, value in body.items() if name in known}
    unknown = {name: value for name, value in body.items() if name not in known}
    return {**given, **({"extra_body": unknown} if unknown else {})}


def client_of(line: Mapping[str, Any], server: ModelServer, *, asynchronous: bool) -> Any:
    """A client of the SDK that the recording was made for, or of openai for OpenAI-compatible providers."""
    http: Any = (
        httpx2.AsyncClient(transport=AsyncRedirect(server.url))
        if asynchronous
        else httpx2.Client(transport=Redirect(server.url))
    )
    host, path = line["host"], line["path"].partition("?")[0]
    if genai_prices_usage.provider_of(line) == "anthropic":
        kind: Any = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        return kind(api_key="none", max_retries=0, http_client=http)
    if genai_prices_usage.provider_of(line) == "azure":
        azure: Any = openai.AsyncAzureOpenAI if asynchronous else openai.AzureOpenAI
        deployment = path.split("/deployments/")[1].partition("/")[0]
        return azure(
            api_key="none", api_version="2024-10-21", azure_endpoint=f"https://{host}", azure_deployment=deployment,
            max_retries=0, http_client=http,
        )  # fmt: skip
    compatible: Any = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    prefix = path[: -len(next(end for end in METHODS if path.endswith(end)))]
    return compatible(api_key="none", base_url=f"https://{host}{prefix}", max_retries=0, http_client=http)


def body_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded request, with the model that Azure takes from the path."""
    body: dict[str, Any] = json.loads(line["request"])
    if "/deployments/" in line["path"]:
        body.setdefault("model", line["path"].split("/deployments/")[1].partition("/")[0])
    return body


def replay(line: Mapping[str, Any], server: ModelServer) -> None:
    """The call once more; a stream is read to its end. Raises what the SDK raises."""
    server.replies(reply_of(line))
    if genai_prices_usage.provider_of(line) == "google":
        _replay_gemini(line, server)
        return
    with client_of(line, server, asynchronous=False) as client:
        method = method_of(client, line["path"].partition("?")[0])
        result = method(**arguments(method, body_of(line)))
        if genai_prices_usage.is_stream(line):
            for _ in result:
                pass


async def replay_async(line: Mapping[str, Any], server: ModelServer) -> None:
    """The same with the asynchronous client."""
    server.replies(reply_of(line))
    async with client_of(line, server, asynchronous=True) as client:
        method = method_of(client, line["path"].partition("?")[0])
        result = await method(**arguments(method, body_of(line)))
        if genai_prices_usage.is_stream(line):
            async for _ in result:
                pass


def _replay_gemini(line: Mapping[str, Any], server: ModelServer) -> None:
    client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url))
    model = line["path"].split("/models/")[1].partition(":")[0]
    body = body_of(line)
    contents = [types.Content.model_validate(content) for content in body["contents"]]
    config = types.GenerateContentConfig.model_validate(body.get("generationConfig") or {})
    if genai_prices_usage.is_stream(line):
        for _ in client.models.generate_content_stream(model=model, contents=contents, config=config):
            pass
    else:
        client.models.generate_content(model=model, contents=contents, config=config)
