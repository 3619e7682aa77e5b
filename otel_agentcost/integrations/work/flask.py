"""Flask: a request, and the body of its response, which a generator may make."""

from __future__ import annotations

from otel_agentcost.integrations.work._base import UnitOfWork, entry

UNIT = UnitOfWork(
    name="web request", distribution="flask", entries=(entry("flask.app", "Flask", "__call__", kind="wsgi"),)
)
