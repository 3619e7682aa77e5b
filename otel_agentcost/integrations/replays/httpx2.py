"""httpx2."""

from __future__ import annotations

from functools import partial

from otel_agentcost.integrations.replays._httpx import patches_of

PATCHES = partial(patches_of, "httpx2")
