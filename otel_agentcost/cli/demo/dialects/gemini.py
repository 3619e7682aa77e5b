"""Gemini's generateContent and streamGenerateContent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from otel_agentcost.cli.demo.dialects import Json, data, definitions, messages_with_roles, pieces, prompt
from otel_agentcost.cli.demo.model import Answered, Asked, BadRequest

_PATH = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent)$")
_ERRORS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}


class Gemini:
    """POST /v1beta/models/MODEL:generateContent, and :streamGenerateContent?alt=sse."""

    def read(self, body: Json, path: str) -> Asked:
        """What is asked. Model and streaming are in the path."""
        match = _PATH.search(path)
        if match is None:
            raise BadRequest(f"No model and method in the path {path!r}.")
        contents = messages_with_roles(body, "contents")
        return Asked(
            model=unquote(match["model"]),
            prompt=prompt(definitions(body.get("tools")), body.get("systemInstruction"), *contents),
            turn=sum(content.get("role") == "model" for content in contents),
            stream=match["verb"] == "streamGenerateContent",
        )

    def whole(self, answered: Answered) -> Json:
        """A `GenerateContentResponse`."""
        text: list[Json] = [{"text": answered.text}] if answered.text else []
        return _response(answered, text + _function_calls(answered), last=True)

    def events(self, asked: Asked, answered: Answered) -> Iterator[str]:  # noqa: ARG002 (usage is always sent)
        """The same, in parts. Every chunk carries the usage so far; that of the last one counts."""
        for piece in pieces(answered.text):
            yield data(_response(answered, [{"text": piece}], last=False))
        yield data(_response(answered, _function_calls(answered) or [{"text": ""}], last=True))

    def error(self, status: int, message: str) -> Json:
        """Google's error object."""
        return {"error": {"code": status, "message": message, "status": _ERRORS.get(status, "INTERNAL")}}


def _function_calls(answered: Answered) -> list[Json]:
    return [{"functionCall": {"name": tool.name, "args": tool.arguments}} for tool in answered.tools]


def _response(answered: Answered, parts: list[Json], *, last: bool) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": parts}}
    if last:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(answered, last=last),
        "modelVersion": answered.model,
        "responseId": answered.id,
    }


def _usage(answered: Answered, *, last: bool) -> Json:
    tokens = answered.tokens
    usage: Json = {
        "promptTokenCount": tokens.prompt,
        "totalTokenCount": tokens.prompt + (tokens.output if last else 0),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.prompt}],
    }
    if last:
        usage["candidatesTokenCount"] = tokens.output
    if tokens.cache_read:
        usage["cachedContentTokenCount"] = tokens.cache_read
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": tokens.cache_read}]
    return usage


DIALECT = Gemini()
