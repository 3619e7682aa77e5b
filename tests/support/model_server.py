"""The local model server of `otel_agentcost.testing`, under the name by which tests import it."""

from __future__ import annotations

from otel_agentcost.testing.server import (
    EMPTY,
    ModelServer,
    Reply,
    Request,
    Responder,
    json_reply,
    sse_event,
    sse_reply,
)

__all__ = ["EMPTY", "ModelServer", "Reply", "Request", "Responder", "json_reply", "sse_event", "sse_reply"]
