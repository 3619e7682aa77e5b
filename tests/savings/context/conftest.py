"""A provider of everything, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost.diagnostics import forget_causes
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import chat, content, message, response


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Each cause of a warning is new, and no hook is left behind."""
    forget_causes()
    yield
    otel_agentcost.on_context(None)


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    """A provider of everything."""
    converse = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
        "metrics": {"latencyMs": 1},
    }
    hi, words = {"role": "assistant", "content": "Hi"}, [{"type": "text", "text": "Hi"}]
    bodies: dict[str, Any] = {
        "/chat/completions": chat(),
        "/responses": response(),
        "/messages": message(),
        "/converse": converse,
        ":generateContent": content(),
        "/api/chat": {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": hi, "done": True},
        "/v2/chat": {"id": "c", "finish_reason": "COMPLETE", "message": {**hi, "content": words}},
    }

    def answer(request: Request) -> Reply:
        return json_reply(next(body for ending, body in bodies.items() if request.path.endswith(ending)))

    model_server.responder = answer
    return model_server
