"""The Redis server of these tests: the one that the ledgers' tests use."""

from __future__ import annotations

from tests.ledger.conftest import redis_binary, redis_server

__all__ = ["redis_binary", "redis_server"]
