"""Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from otel_agentcost.testing.answers import ModelRequest, ToolCall, Turn
from otel_agentcost.testing.dialects._base import Json, definitions, messages_with_roles, model_name, pieces, prompt

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def message(usage: Any, *, model: str, text: str, tools: Sequence[ToolCall] = (), key: str = "1", **more: Any) -> Json:
    """Return a `message` with the `usage` object as it is; `more` are further fields, or replace fields."""
    return {
        "id": f"msg_{key}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _content(text, tools),
        "stop_reason": "tool_use" if tools else "end_turn",
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


def events(
    usage: Mapping[str, Any], *, model: str, words: Iterable[str], tools: Sequence[ToolCall] = (), key: str = "1"
) -> list[Json]:
    """Return the events of a message. The first has a placeholder of 2 output tokens, and the last the true count."""
    words = list(words)
    whole = message(usage, model=model, text="".join(words), tools=tools, key=key)
    opened: Json = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 2}}
    found: list[Json] = [{"type": "message_start", "message": opened}]
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty: Json = {"text": ""}
            deltas: list[Json] = [{"type": "text_delta", "text": word} for word in words]
        else:
            empty = {"input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in pieces(json.dumps(block["input"]))]
        found.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        found += [{"type": "ping"}] if index == 0 else []
        found += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        found.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    counted = {"output_tokens": usage["output_tokens"]}
    return [*found, {"type": "message_delta", "delta": end, "usage": counted}, {"type": "message_stop"}]


class Anthropic:
    """POST /v1/messages."""

    named = True
    done = False

    def read(self, body: Json, path: str) -> ModelRequest:  # noqa: ARG002 (the path says nothing here)
        """Read a request. The prompt is cached to its end where the request carries `cache_control`."""
        messages = messages_with_roles(body, "messages")
        return ModelRequest(
            model=model_name(body),
            prompt=prompt(definitions(body.get("tools")), body.get("system"), *messages),
            turn=sum(message.get("role") == "assistant" for message in messages),
            body=body,
            stream=body.get("stream") is True,
            cache=isinstance(body.get("cache_control"), dict),
        )

    def whole(self, turn: Turn) -> Json:
        """Return a `message`."""
        return message(_usage(turn), model=turn.model, text=turn.text, tools=turn.tools, key=turn.id)

    def events(self, request: ModelRequest, turn: Turn) -> list[Json]:  # noqa: ARG002 (usage is always sent)
        """Return the events of a message."""
        return events(_usage(turn), model=turn.model, words=pieces(turn.text), tools=turn.tools, key=turn.id)

    def error(self, status: int, message: str) -> Json:
        """Return Anthropic's error object."""
        return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}


def _content(text: str, tools: Sequence[ToolCall]) -> list[Json]:
    blocks: list[Json] = [] if tools and not text else [{"type": "text", "text": text}]
    calls = ({"type": "tool_use", "id": tool.id, "name": tool.name, "input": dict(tool.arguments)} for tool in tools)
    return [*blocks, *calls]


def _usage(turn: Turn) -> Json:
    """Anthropic's `input_tokens` are those that are neither read from the cache nor written to it."""
    tokens = turn.tokens
    return {
        "input_tokens": tokens.prompt - tokens.cache_read - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }


DIALECT = Anthropic()
