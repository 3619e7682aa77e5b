"""Starlette and FastAPI: a request with its response and its background tasks, or a connection of a WebSocket."""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.work._base import Arguments, UnitOfWork, entry


def _identity(args: Arguments, kwargs: dict[str, Any]) -> str | None:
    scope = args[0] if args else kwargs["scope"]
    return "" if scope["type"] in ("http", "websocket") else None


UNIT = UnitOfWork(
    name="web request",
    distribution="starlette",
    entries=(entry("starlette.applications", "Starlette", "__call__", kind="async", identity=_identity),),
)
