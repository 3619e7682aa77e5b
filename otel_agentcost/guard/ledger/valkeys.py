"""The ledger `valkeys://host:port/db`: Valkey over TLS. See `redis.py`."""

from __future__ import annotations

from otel_agentcost.guard.ledger.redis import open_ledger

__all__ = ["open_ledger"]
