"""OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from otel_agentcost.cli.demo.dialects import (
    Json,
    data,
    definitions,
    get,
    messages_with_roles,
    model_name,
    pieces,
    prompt,
)
from otel_agentcost.cli.demo.model import Answered, Asked, ToolUse

CREATED = 1_760_000_000
"""The time of every answer: the demo's server is deterministic."""


class OpenAIChat:
    """POST /v1/chat/completions."""

    def read(self, body: Json, path: str) -> Asked:  # noqa: ARG002 (the path says nothing here)
        """What is asked."""
        messages = messages_with_roles(body, "messages")
        return Asked(
            model=model_name(body),
            prompt=prompt(definitions(body.get("tools")), *messages),
            turn=sum(message.get("role") == "assistant" for message in messages),
            stream=body.get("stream") is True,
            stream_usage=get(body.get("stream_options"), "include_usage") is True,
            cache_block=128,
        )

    def whole(self, answered: Answered) -> Json:
        """A `chat.completion`."""
        message: Json = {"role": "assistant", "content": answered.text or None, "refusal": None}
        if answered.tools:
            message["tool_calls"] = [_tool_call(tool) for tool in answered.tools]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answered)}
        return {**_envelope(answered, "chat.completion"), "choices": [choice], "usage": _usage(answered)}

    def events(self, asked: Asked, answered: Answered) -> Iterator[str]:
        """`chat.completion.chunk`s: role, content, tool calls, finish reason, and the usage if it was asked for."""
        envelope: Json = _envelope(answered, "chat.completion.chunk")
        if asked.stream_usage:
            envelope["usage"] = None

        def chunk(delta: Json, finish_reason: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return data({**envelope, "choices": [choice]})

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(answered.text):
            yield chunk({"content": piece})
        for index, tool in enumerate(answered.tools):
            call = _tool_call(tool)
            arguments = call["function"]["arguments"]
            call["function"]["arguments"] = ""
            yield chunk({"tool_calls": [{"index": index, **call}]})
            for piece in pieces(arguments):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, _finish_reason(answered))
        if asked.stream_usage:
            yield data({**envelope, "choices": [], "usage": _usage(answered)})
        yield "data: [DONE]\n\n"

    def error(self, status: int, message: str) -> Json:
        """OpenAI's error object."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _envelope(answered: Answered, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answered.id}",
        "object": kind,
        "created": CREATED,
        "model": answered.model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


def _tool_call(tool: ToolUse) -> Json:
    return {
        "id": tool.id,
        "type": "function",
        "function": {"name": tool.name, "arguments": json.dumps(tool.arguments)},
    }


def _finish_reason(answered: Answered) -> str:
    return "tool_calls" if answered.tools else "stop"


def _usage(answered: Answered) -> Json:
    tokens = answered.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


DIALECT = OpenAIChat()
