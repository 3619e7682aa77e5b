"""What the local server answers: bodies and event streams of three providers, with the usages of the tables.

The usages, and what they come to at list prices (dollars per million tokens; input, cached, output):
gpt-4o-mini 0.15/0.075/0.60, gpt-5-mini 0.25/-/2.00, claude-sonnet-4-5 3.00 (writes 3.75 and 6.00, reads 0.30)/15.00.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_agentcost.testing.dialects import anthropic, gemini, openai_chat, openai_responses
from tests.support.model_server import Reply, json_reply, sse_reply

MINI = "gpt-4o-mini-2024-07-18"
SONNET = "claude-sonnet-4-5-20250929"

PLAIN = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
PLAIN_USD = 0.000045  # 100 x 0.15 + 50 x 0.60
CACHED: dict[str, Any] = {
    "prompt_tokens": 1205,
    "completion_tokens": 183,
    "total_tokens": 1388,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
CACHED_USD = 0.00021375  # 181 x 0.15 + 1024 x 0.075 + 183 x 0.60
THOUGHT: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 500,
    "total_tokens": 600,
    "completion_tokens_details": {"reasoning_tokens": 448},
}
THOUGHT_USD = 0.001025  # 100 x 0.25 + 500 x 2.00

MESSAGE = {"input_tokens": 100, "output_tokens": 50}
MESSAGE_USD = 0.00105  # 100 x 3 + 50 x 15
MESSAGE_CACHED: dict[str, Any] = {
    "input_tokens": 181,
    "cache_read_input_tokens": 1024,
    "cache_creation_input_tokens": 256,
    "cache_creation": {"ephemeral_5m_input_tokens": 256, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 183,
    "service_tier": "standard",
}
MESSAGE_CACHED_USD = 0.0045552  # 181 x 3 + 1024 x 0.30 + 256 x 3.75 + 183 x 15
MESSAGE_CACHED_1H: dict[str, Any] = {
    **MESSAGE_CACHED,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 256},
}
MESSAGE_CACHED_1H_USD = 0.0051312  # the same with 256 x 6

WORDS = ["Forty", "-", "two", "."]


# --- OpenAI chat completions ---


def chat(usage: Any = PLAIN, *, model: str = MINI, text: str = "Forty-two.", **more: Any) -> dict[str, Any]:
    """A chat completion."""
    return openai_chat.completion(usage, model=model, text=text, **more)


def chat_chunks(
    usage: Mapping[str, Any] | None = None, *, model: str = MINI, words: Sequence[str] = WORDS
) -> list[dict[str, Any]]:
    """The chunks of a chat completion; with `usage` as a last chunk where the caller asked for it."""
    return openai_chat.chunks(usage, model=model, words=words)


def chat_reply(usage: Any = PLAIN, **more: Any) -> Reply:
    """A chat completion, as a reply."""
    return json_reply(chat(usage, **more), headers={"x-request-id": "req_1"})


def chat_stream(usage: Mapping[str, Any] | None = None, *, drop: bool = False, pause: float = 0, **more: Any) -> Reply:
    """A streamed chat completion, as a reply."""
    return sse_reply(chat_chunks(usage, **more), done=not drop, drop=drop, pause=pause)


# --- OpenAI responses ---

RESPONSE_CACHED: dict[str, Any] = {
    "input_tokens": 1205,
    "input_tokens_details": {"cached_tokens": 1024},
    "output_tokens": 183,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 1388,
}


def response(
    usage: Any = RESPONSE_CACHED, *, model: str = MINI, text: str = "Forty-two.", **more: Any
) -> dict[str, Any]:
    """A response of the responses API."""
    return openai_responses.response(usage, model=model, text=text, **more)


def response_events(usage: Any = RESPONSE_CACHED) -> list[dict[str, Any]]:
    """The events of a streamed response."""
    return openai_responses.events(usage, model=MINI, words=WORDS)


def response_stream(usage: Any = RESPONSE_CACHED) -> Reply:
    """A streamed response, as a reply."""
    return sse_reply(response_events(usage), named=True)


# --- Anthropic messages ---


def message(
    usage: Any = MESSAGE_CACHED, *, model: str = SONNET, text: str = "Forty-two.", **more: Any
) -> dict[str, Any]:
    """A message of Anthropic's API."""
    return anthropic.message(usage, model=model, text=text, **more)


def message_events(usage: Mapping[str, Any] = MESSAGE_CACHED) -> list[dict[str, Any]]:
    """The events of a streamed message: the first has a placeholder of 2 output tokens, the last the true count."""
    return anthropic.events(usage, model=SONNET, words=WORDS)


def message_stream(usage: Mapping[str, Any] = MESSAGE_CACHED, *, drop: bool = False) -> Reply:
    """A streamed message, as a reply."""
    return sse_reply(message_events(usage)[: 6 if drop else None], named=True, drop=drop)


# --- Gemini ---

GEMINI = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 400,
    "candidatesTokenCount": 50,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 1080,
}
GEMINI_USD = 0.000392  # gemini-2.5-flash: 600 x 0.30 + 400 x 0.03 + 80 x 2.50


def content(usage: Any = GEMINI, *, parts: Any = None, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    """A generation of Gemini's API."""
    return gemini.content(usage, model=model, parts=parts if parts is not None else [{"text": "Forty-two."}])


def content_stream(usage: Mapping[str, Any] = GEMINI) -> Reply:
    """A streamed generation: each chunk has running totals, the last one the whole."""
    return sse_reply(gemini.chunks(usage, model="gemini-2.5-flash", words=WORDS))
