"""Reads an answer in one line: what the tests of this folder say over and over."""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import AnswerReader, load

PATHS = {
    "openai_chat": "/chat/completions",
    "openai_responses": "/responses",
    "anthropic_messages": "/v1/messages?beta=true",
    "gemini": "models/gemini-3-flash:generateContent",
    "openai_audio": "/audio/transcriptions",
}


def ask(form: str, body: Any = None, path: str | None = None) -> Call:
    return load(form).read_request(body if body is not None else {}, path or PATHS.get(form, ""))


def whole(form: str, response: Any, body: Any = None, path: str | None = None) -> Answer:
    return load(form).read_response(ask(form, body, path), response)


def streamed(
    form: str, events: list[Any], body: Any = None, *, complete: bool = True, path: str | None = None
) -> Answer:
    reader = load(form).open_stream(ask(form, body, path))
    for event in events:
        reader.feed(event)
    return reader.answer(complete=complete)


def used(answer: Answer) -> Usage:
    assert answer.usage is not None, answer.missing
    return answer.usage


def chat(usage: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "gpt-4o-2024-08-06", "choices": [], "usage": usage, **more}


def delta(words: str | None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": words}, "finish_reason": None}
    return {"id": "c1", "model": "gpt-4o-2024-08-06", "choices": [choice], "usage": None, **more}


def load_reader(form: str) -> AnswerReader:
    return load(form).open_stream(ask(form))
