"""The ledger in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_agentcost.guard.ledger import open_ledger
from tests.guard.ledger.batches_contract import BatchesContract, SharedBatchesContract
from tests.guard.ledger.contract import LedgerContract
from tests.guard.ledger.notes_contract import NotesContract, check_is_forgotten
from tests.guard.ledger.rolling_contract import RollingContract, SharedRollingContract
from tests.guard.ledger.shared_contract import SharedContract


class TestSqlite(
    LedgerContract,
    SharedContract,
    RollingContract,
    SharedRollingContract,
    BatchesContract,
    SharedBatchesContract,
    NotesContract,
):
    """In one SQLite file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/ledger.db"


def test_a_note_is_forgotten_after_its_end(tmp_path: Path) -> None:
    """By the time that each process says, as a file has no clock."""
    check_is_forgotten(open_ledger(f"sqlite:///{tmp_path}/ledger.db"))
