"""httpx2, the successor of httpx."""

from __future__ import annotations

from otel_agentcost.integrations.http._httpx import client

CLIENT = client("httpx2", "2.14")
