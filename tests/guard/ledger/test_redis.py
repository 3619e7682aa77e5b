"""The ledger on a Redis server."""

from __future__ import annotations

import pytest

from tests.guard.ledger.batches_contract import BatchesContract, SharedBatchesContract
from tests.guard.ledger.contract import LedgerContract
from tests.guard.ledger.notes_contract import NotesContract
from tests.guard.ledger.rolling_contract import RollingContract, SharedRollingContract
from tests.guard.ledger.shared_contract import SharedContract
from tests.support.redis_server import Server


class TestRedis(
    LedgerContract,
    SharedContract,
    RollingContract,
    SharedRollingContract,
    BatchesContract,
    SharedBatchesContract,
    NotesContract,
):
    """On a real Redis."""

    @pytest.fixture
    def url(self, redis_server: Server) -> str:
        redis_server.empty()
        return redis_server.url
