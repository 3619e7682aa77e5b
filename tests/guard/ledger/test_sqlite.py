"""The ledger in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guard.ledger.batches_contract import BatchesContract, SharedBatchesContract
from tests.guard.ledger.contract import LedgerContract
from tests.guard.ledger.shared_contract import SharedContract


class TestSqlite(LedgerContract, SharedContract, BatchesContract, SharedBatchesContract):
    """In one SQLite file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/ledger.db"
