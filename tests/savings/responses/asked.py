"""What the tests of this folder share: an application that caches answers, and a provider that answers each request."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from openai import AsyncOpenAI, OpenAI

from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply, sse_reply
from tests.support.replies import PLAIN, chat, chat_chunks

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "temperature": 0,
    "messages": [{"role": "user", "content": "What is the answer?"}],
}
STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def answer(request: Request) -> Reply:
    """Answers with words that no other answer has: an application sees whether it gets an old one."""
    asked = request.json
    words = f"answer {next(_numbers)}"
    if asked.get("stream"):
        return sse_reply(chat_chunks(PLAIN, words=words.split()), done=True)
    return json_reply(chat(text=words), headers={"x-request-id": words})


def _count() -> Generator[int]:
    number = 0
    while True:
        yield (number := number + 1)


_numbers = _count()


@contextmanager
def caching(server: ModelServer, telemetry: Telemetry, **settings: Any) -> Generator[OpenAI]:
    """An instrumented application whose answers are cached."""
    if server.responder is None:
        server.responder = answer
    asked: dict[str, Any] = {"cache": ("exact",), **settings}
    with budgeted(telemetry, **asked), client(server) as made:
        yield made


def client(server: ModelServer, **more: Any) -> OpenAI:
    """A client that does not retry."""
    options: dict[str, Any] = {"base_url": f"{server.url}/v1", "api_key": "none", "max_retries": 0, **more}
    return OpenAI(**options)


def async_client(server: ModelServer, **more: Any) -> AsyncOpenAI:
    """`client`, asynchronous."""
    options: dict[str, Any] = {"base_url": f"{server.url}/v1", "api_key": "none", "max_retries": 0, **more}
    return AsyncOpenAI(**options)


def ask(made: OpenAI, question: str | None = None, **more: Any) -> Any:
    """One call."""
    messages = ASK["messages"] if question is None else [{"role": "user", "content": question}]
    asked: dict[str, Any] = {**ASK, "messages": messages, **more}
    return made.chat.completions.create(**asked)


def words(made: OpenAI, question: str | None = None, **more: Any) -> str:
    """The words of an answer."""
    return str(ask(made, question, **more).choices[0].message.content)
