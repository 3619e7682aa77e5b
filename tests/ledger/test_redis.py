"""The ledger on a Redis server."""

from __future__ import annotations

import pytest

from tests.ledger.contract import LedgerContract
from tests.ledger.servers import Server
from tests.ledger.shared import SharedContract


class TestRedis(LedgerContract, SharedContract):
    """On a real Redis."""

    @pytest.fixture
    def url(self, redis_server: Server) -> str:
        redis_server.empty()
        return redis_server.url
