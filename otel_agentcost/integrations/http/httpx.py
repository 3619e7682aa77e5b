"""httpx."""

from __future__ import annotations

from otel_agentcost.integrations.http._httpx import client

CLIENT = client("httpx", "0.25")
