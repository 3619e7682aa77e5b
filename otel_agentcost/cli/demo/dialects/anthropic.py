"""Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

from otel_agentcost.cli.demo.dialects import Json, definitions, messages_with_roles, model_name, named, pieces, prompt
from otel_agentcost.cli.demo.model import Answered, Asked

_ERRORS = {400: "invalid_request_error", 404: "not_found_error"}


class Anthropic:
    """POST /v1/messages."""

    def read(self, body: Json, path: str) -> Asked:  # noqa: ARG002 (the path says nothing here)
        """What is asked. The prompt is cached to its end where the request carries `cache_control`."""
        messages = messages_with_roles(body, "messages")
        return Asked(
            model=model_name(body),
            prompt=prompt(definitions(body.get("tools")), body.get("system"), *messages),
            turn=sum(message.get("role") == "assistant" for message in messages),
            stream=body.get("stream") is True,
            cache=isinstance(body.get("cache_control"), dict),
        )

    def whole(self, answered: Answered) -> Json:
        """A `message`."""
        return {
            **_envelope(answered),
            "content": _content(answered),
            "stop_reason": _stop_reason(answered),
            "usage": _usage(answered),
        }

    def events(self, asked: Asked, answered: Answered) -> Iterator[str]:  # noqa: ARG002 (usage is always sent)
        """The events of a message: the input's usage comes first, the output's last."""
        opened: Json = {**_envelope(answered), "content": [], "stop_reason": None}
        yield named({"type": "message_start", "message": {**opened, "usage": {**_usage(answered), "output_tokens": 1}}})
        yield named({"type": "ping"})
        for index, block in enumerate(_content(answered)):
            if block["type"] == "text":
                empty: Json = {"text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
            else:
                empty = {"input": {}}
                parts = pieces(json.dumps(block["input"]))
                deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
            yield named({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
            for delta in deltas:
                yield named({"type": "content_block_delta", "index": index, "delta": delta})
            yield named({"type": "content_block_stop", "index": index})
        end = {"stop_reason": _stop_reason(answered), "stop_sequence": None}
        yield named({"type": "message_delta", "delta": end, "usage": {"output_tokens": answered.tokens.output}})
        yield named({"type": "message_stop"})

    def error(self, status: int, message: str) -> Json:
        """Anthropic's error object."""
        return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}


def _envelope(answered: Answered) -> Json:
    return {
        "id": f"msg_{answered.id}",
        "type": "message",
        "role": "assistant",
        "model": answered.model,
        "stop_sequence": None,
    }


def _content(answered: Answered) -> list[Json]:
    text: list[Json] = [{"type": "text", "text": answered.text}] if answered.text else []
    return text + [
        {"type": "tool_use", "id": f"toolu_{tool.id}", "name": tool.name, "input": tool.arguments}
        for tool in answered.tools
    ]


def _stop_reason(answered: Answered) -> str:
    return "tool_use" if answered.tools else "end_turn"


def _usage(answered: Answered) -> Json:
    """Anthropic's `input_tokens` are those that are neither read from the cache nor written to it."""
    tokens = answered.tokens
    return {
        "input_tokens": tokens.prompt - tokens.cache_read - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }


DIALECT = Anthropic()
