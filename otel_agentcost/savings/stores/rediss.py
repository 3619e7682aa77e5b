"""The store `rediss://host:port/db`: Redis over TLS. See `redis.py`."""

from __future__ import annotations

from otel_agentcost.savings.stores.redis import open_store

__all__ = ["open_store"]
