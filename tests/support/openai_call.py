"""One openai call on an in-process transport: what the tests of this folder are about comes after it."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from openai import AsyncOpenAI, OpenAI

from tests.integrations.sdks.openai_shapes import ASK
from tests.support.replies import PLAIN_USD, chat

USD = PLAIN_USD
"""What each call costs: 100 tokens in, 50 out."""


def transport(body: dict[str, Any] | None = None, status: int = 200) -> httpx2.MockTransport:
    """Answers every call with `body`, or with a chat completion by the model that was asked for."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        model = json.loads(request.content)["model"]
        return httpx2.Response(status, json=body or chat(model=model))

    return httpx2.MockTransport(handle)


def client(body: dict[str, Any] | None = None, status: int = 200) -> OpenAI:
    """A client all of whose calls succeed."""
    http = httpx2.Client(transport=transport(body, status))
    return OpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=http)


def async_client() -> AsyncOpenAI:
    """`client`, asynchronous."""
    http = httpx2.AsyncClient(transport=transport())
    return AsyncOpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=http)


def ask(made: OpenAI | None = None, **more: Any) -> Any:
    """One call."""
    return (made or client()).chat.completions.create(**{**ASK, **more})


async def ask_async(made: AsyncOpenAI | None = None, **more: Any) -> Any:
    """One asynchronous call."""
    return await (made or async_client()).chat.completions.create(**{**ASK, **more})
