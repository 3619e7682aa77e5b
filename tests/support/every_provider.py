"""A local server that answers every wire format with one short answer."""

from __future__ import annotations

from typing import Any

from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import chat, content, message, response

CONVERSE: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
    "metrics": {"latencyMs": 1},
}
"""An answer of Bedrock's Converse."""

_HI: dict[str, Any] = {"role": "assistant", "content": "Hi"}
_BODIES: dict[str, Any] = {
    "/chat/completions": chat(),
    "/responses": response(),
    "/messages": message(),
    "/converse": CONVERSE,
    ":generateContent": content(),
    "/api/chat": {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": _HI, "done": True},
    "/v2/chat": {
        "id": "c",
        "finish_reason": "COMPLETE",
        "message": {**_HI, "content": [{"type": "text", "text": "Hi"}]},
    },
}
"""The answers, by the ends of the paths."""


def answer(request: Request) -> Reply:
    """Answer a request in the format of its path."""
    return json_reply(next(body for ending, body in _BODIES.items() if request.path.endswith(ending)))


def answering_all(server: ModelServer) -> ModelServer:
    """Let a server answer every format."""
    server.responder = answer
    return server
