"""Dramatiq: a message that a worker processes. Its own `CurrentMessage` is a middleware that few brokers have."""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.work._base import Arguments, UnitOfWork, entry


def _identity(args: Arguments, kwargs: dict[str, Any]) -> str | None:
    message = args[0] if args else kwargs["message"]
    return str(message.message_id)


UNIT = UnitOfWork(
    name="Dramatiq message",
    distribution="dramatiq",
    entries=(entry("dramatiq.worker", "_WorkerThread", "process_message", identity=_identity),),
)
