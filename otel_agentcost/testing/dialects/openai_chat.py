"""OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from otel_agentcost.testing.answers import ModelRequest, ToolCall, Turn
from otel_agentcost.testing.dialects._base import (
    Json,
    definitions,
    get,
    messages_with_roles,
    model_name,
    pieces,
    prompt,
)


def completion(
    usage: Any, *, model: str, text: str, tools: Sequence[ToolCall] = (), key: str = "1", **more: Any
) -> Json:
    """Return a `chat.completion` with the `usage` object as it is; `more` are further fields, or replace fields."""
    message: Json = {"role": "assistant", "content": None if tools and not text else text}
    if tools:
        message["tool_calls"] = [_tool_call(tool) for tool in tools]
    choice = {"index": 0, "finish_reason": _finish_reason(tools), "message": message, "logprobs": None}
    return {**_envelope(key, model, "chat.completion"), "choices": [choice], "usage": usage, **more}


def chunks(
    usage: Any, *, model: str, words: Iterable[str], tools: Sequence[ToolCall] = (), key: str = "1"
) -> list[Json]:
    """Return the chunks of a completion, one for each of `words`; the last one has the `usage`, unless it is None."""
    envelope = _envelope(key, model, "chat.completion.chunk")

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**envelope, "choices": [choice], **({"usage": None} if usage is not None else {})}

    made = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]
    for index, tool in enumerate(tools):
        call = _tool_call(tool)
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = ""
        made.append(chunk({"tool_calls": [{"index": index, **call}]}))
        made += [chunk({"tool_calls": [{"index": index, "function": {"arguments": p}}]}) for p in pieces(arguments)]
    made.append(chunk({}, _finish_reason(tools)))
    return [*made, {**envelope, "choices": [], "usage": usage}] if usage is not None else made


class OpenAIChat:
    """POST /v1/chat/completions."""

    named = False
    done = True

    def read(self, body: Json, path: str) -> ModelRequest:  # noqa: ARG002 (the path says nothing here)
        """Read a request."""
        messages = messages_with_roles(body, "messages")
        return ModelRequest(
            model=model_name(body),
            prompt=prompt(definitions(body.get("tools")), *messages),
            turn=sum(message.get("role") == "assistant" for message in messages),
            body=body,
            stream=body.get("stream") is True,
            stream_usage=get(body.get("stream_options"), "include_usage") is True,
            cache_block=128,
        )

    def whole(self, turn: Turn) -> Json:
        """Return a `chat.completion`."""
        return completion(_usage(turn), model=turn.model, text=turn.text, tools=turn.tools, key=turn.id)

    def events(self, request: ModelRequest, turn: Turn) -> list[Json]:
        """Return `chat.completion.chunk`s: role, content, tool calls, finish reason, and the usage on request."""
        usage = _usage(turn) if request.stream_usage else None
        return chunks(usage, model=turn.model, words=pieces(turn.text), tools=turn.tools, key=turn.id)

    def error(self, status: int, message: str) -> Json:
        """Return OpenAI's error object."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _envelope(key: str, model: str, kind: str) -> Json:
    return {"id": f"chatcmpl-{key}", "object": kind, "created": 1, "model": model}


def _tool_call(tool: ToolCall) -> Json:
    return {
        "id": tool.id,
        "type": "function",
        "function": {"name": tool.name, "arguments": json.dumps(tool.arguments)},
    }


def _finish_reason(tools: Sequence[ToolCall]) -> str:
    return "tool_calls" if tools else "stop"


def _usage(turn: Turn) -> Json:
    tokens = turn.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    }


DIALECT = OpenAIChat()
