"""The ledger `valkey://host:port/db`: Valkey, which speaks Redis' protocol. See `redis.py`."""

from __future__ import annotations

from otel_agentcost.guard.ledger.redis import open_ledger

__all__ = ["open_ledger"]
