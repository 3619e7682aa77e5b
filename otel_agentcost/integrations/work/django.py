"""Django: a request under WSGI or ASGI, and the body of its response, which a generator may make."""

from __future__ import annotations

from otel_agentcost.integrations.work._base import UnitOfWork, entry

UNIT = UnitOfWork(
    name="web request",
    distribution="django",
    entries=(
        entry("django.core.handlers.wsgi", "WSGIHandler", "__call__", kind="wsgi"),
        entry("django.core.handlers.asgi", "ASGIHandler", "__call__", kind="async"),
    ),
)
