"""Gemini's generateContent and streamGenerateContent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from otel_agentcost.testing.answers import BadRequest, ModelRequest, ToolCall, Turn
from otel_agentcost.testing.dialects._base import Json, definitions, messages_with_roles, pieces, prompt

_PATH = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent)$")
_ERRORS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}


def content(usage: Any, *, model: str, parts: Sequence[Any], key: str = "r1") -> Json:
    """Return a `GenerateContentResponse` of these `parts`, with the `usage` object as it is, unless it is None."""
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    body: Json = {"candidates": [candidate], "modelVersion": model, "responseId": key}
    return body if usage is None else {**body, "usageMetadata": usage}


def chunks(
    usage: Mapping[str, Any], *, model: str, words: Iterable[str], tools: Sequence[ToolCall] = (), key: str = "r1"
) -> list[Json]:
    """Return a generation in parts: each chunk has the totals so far, the last one the whole `usage`."""
    parts: list[list[Json]] = [[{"text": word}] for word in words]
    if tools or not parts:
        parts.append(function_calls(tools) or [{"text": ""}])
    found: list[Json] = []
    for number, of_chunk in enumerate(parts, start=1):
        last = number == len(parts)
        chunk = content(
            usage if last else {**usage, "candidatesTokenCount": number}, model=model, parts=of_chunk, key=key
        )
        if not last:
            del chunk["candidates"][0]["finishReason"]
        found.append(chunk)
    return found


def function_calls(tools: Sequence[ToolCall]) -> list[Json]:
    """Return the parts that call `tools`. Gemini gives its calls no ids."""
    return [{"functionCall": {"name": tool.name, "args": dict(tool.arguments)}} for tool in tools]


class Gemini:
    """POST /v1beta/models/MODEL:generateContent, and :streamGenerateContent?alt=sse."""

    named = False
    done = False

    def read(self, body: Json, path: str) -> ModelRequest:
        """Read a request. Model and streaming are in the path."""
        match = _PATH.search(path)
        if match is None:
            raise BadRequest(f"No model and method in the path {path!r}.")
        contents = messages_with_roles(body, "contents")
        return ModelRequest(
            model=unquote(match["model"]),
            prompt=prompt(definitions(body.get("tools")), body.get("systemInstruction"), *contents),
            turn=sum(content.get("role") == "model" for content in contents),
            body=body,
            stream=match["verb"] == "streamGenerateContent",
        )

    def whole(self, turn: Turn) -> Json:
        """Return a `GenerateContentResponse`."""
        calls = function_calls(turn.tools)
        text: list[Json] = [] if calls and not turn.text else [{"text": turn.text}]
        return content(_usage(turn), model=turn.model, parts=[*text, *calls], key=turn.id)

    def events(self, request: ModelRequest, turn: Turn) -> list[Json]:  # noqa: ARG002 (usage is always sent)
        """Return the same in parts."""
        return chunks(_usage(turn), model=turn.model, words=pieces(turn.text), tools=turn.tools, key=turn.id)

    def error(self, status: int, message: str) -> Json:
        """Return Google's error object."""
        return {"error": {"code": status, "message": message, "status": _ERRORS.get(status, "INTERNAL")}}


def _usage(turn: Turn) -> Json:
    tokens = turn.tokens
    usage: Json = {
        "promptTokenCount": tokens.prompt,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.prompt}],
    }
    if tokens.reasoning:
        usage["thoughtsTokenCount"] = tokens.reasoning
    if tokens.cache_read:
        usage["cachedContentTokenCount"] = tokens.cache_read
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": tokens.cache_read}]
    return usage


DIALECT = Gemini()
