"""The file of the SQLite ledger: who may read it, what else it can be, and what is said when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_agentcost.guard.ledger import GRACE, REMEMBER, LedgerError
from otel_agentcost.guard.ledger.sqlite import SqliteLedger
from tests.guard.ledger.calls import NOW, admitted, amounts, claim, in_a_child, stands
from tests.guard.ledger.rolling_contract import rolling


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(path, 1.0)
    yield ledger
    ledger.close()


def said(ledger: SqliteLedger) -> str:
    """What the ledger says of why it cannot be used."""
    with pytest.raises(LedgerError) as raised:
        ledger.settle("a", [claim()], amounts(1), now=NOW)
    assert str(raised.value).endswith(".")
    return str(raised.value)


def test_only_its_owner_reads_it(ledger: SqliteLedger, path: Path) -> None:
    """Users' names are in the keys: the file, and those beside it, are for their owner alone."""
    before = os.umask(0)
    try:
        ledger.settle("a", [claim()], amounts(1), now=NOW)
    finally:
        os.umask(before)
    files = list(path.parent.iterdir())
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_what_is_settled_is_there_after_a_restart(path: Path) -> None:
    """Spend and holds outlive the process that counted them."""
    first = SqliteLedger(path, 1.0)
    first.settle("a", [claim()], amounts(3), now=NOW)
    assert admitted(first, "b", [claim()], 4)
    first.close()
    second = SqliteLedger(path, 1.0)
    assert second.standing(claim().key, now=NOW) == stands(spent=amounts(3), held=amounts(4))
    second.close()


def test_what_has_ended_is_deleted(ledger: SqliteLedger, path: Path) -> None:
    """After a few verbs, only what has not ended is left in the file."""
    for i in range(300):
        assert admitted(ledger, str(i), [claim(f"trace={i}", until=NOW + i)], 1)
        ledger.settle(str(i), [claim(f"trace={i}", until=NOW + i)], amounts(1), now=NOW)
    later = NOW + 200 + max(GRACE, REMEMBER)
    for i in range(100):
        ledger.settle(f"later {i}", [claim("day", until=later + 10**6)], amounts(1), now=later)
    with sqlite3.connect(path) as connection:
        rows = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("accounts", "settled")]
    connection.close()
    assert rows == [1, 100]


def test_a_file_that_is_no_database(path: Path, ledger: SqliteLedger) -> None:
    """Something else at the path is left as it is."""
    path.write_bytes(b"hello" * 1000)
    assert "not a database" in said(ledger)
    assert path.read_bytes() == b"hello" * 1000


def test_another_programs_database(path: Path, ledger: SqliteLedger) -> None:
    """No tables are added to a database that is not ours."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE accounts (name TEXT)")
    other.commit()
    assert "another program's" in said(ledger)
    assert other.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    other.close()


def test_a_file_of_a_later_version(path: Path, ledger: SqliteLedger) -> None:
    """A layout that this version does not know is not guessed at."""
    ledger.standing("k", now=NOW)
    ledger.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    assert "version 7" in said(ledger)


def test_a_file_of_before_rolling_windows(path: Path, ledger: SqliteLedger) -> None:
    """It gets their slices, and a process of that version can go on using it: what it deletes is deleted in both."""
    ledger.settle("a", [claim()], amounts(3), now=NOW)
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP TRIGGER drop_slices; DROP TRIGGER drop_behind; DROP TABLE slices; DROP TABLE behind"
        )
    connection.close()
    ledger.settle("b", [claim(), rolling()], amounts(4), now=NOW)
    assert ledger.standing(claim().key, now=NOW) == stands(spent=amounts(7))
    with sqlite3.connect(path) as older:
        older.execute("DELETE FROM accounts WHERE until > 0")
    assert older.execute("SELECT count(*) FROM slices").fetchone() == (0,)
    older.close()
    ledger.settle("c", [rolling()], amounts(5), now=NOW)
    assert ledger.standing(rolling().key, now=NOW) == stands(spent=amounts(5))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The path and the cause are named."""
    text = said(SqliteLedger(tmp_path / "none" / "ledger.db", 1.0))
    assert "none/ledger.db" in text
    assert "No such file or directory" in text


def test_a_damaged_file(path: Path, ledger: SqliteLedger) -> None:
    """A file that is damaged in the middle gives a sentence, not a wrong figure or a crash."""
    for i in range(300):
        ledger.settle(str(i), [claim(f"user={i}", until=None)], amounts(1), now=NOW)
    ledger.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    assert "malformed" in said(ledger)


def test_a_full_disk(ledger: SqliteLedger) -> None:
    """Where nothing more can be written the verb fails as a whole, and the ledger works again when there is room."""
    ledger.settle("a", [claim()], amounts(1), now=NOW)
    assert ledger._connection is not None
    ledger._connection.execute("PRAGMA max_page_count = 1")
    keys = [claim(f"user={i:0500}") for i in range(50)]
    with pytest.raises(LedgerError, match="full"):
        ledger.settle("b", [claim(), *keys], amounts(1), now=NOW)
    assert ledger.standing(claim().key, now=NOW) == stands(spent=amounts(1))
    ledger.settle("b", [claim(), *keys], amounts(1), now=NOW)
    assert ledger.standing(claim().key, now=NOW) == stands(spent=amounts(2))


def test_a_file_that_another_program_locks(path: Path, ledger: SqliteLedger) -> None:
    """A lock that does not end is not waited for long; a short one is."""
    ledger.standing("k", now=NOW)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert "locked" in said(ledger)
    assert time.monotonic() - began < 3
    threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
    ledger.settle("a", [claim()], amounts(1), now=NOW)
    other.close()


def test_a_transaction_that_fails_leaves_nothing(ledger: SqliteLedger) -> None:
    """What goes wrong in the middle of a verb undoes the whole of it."""
    bad = claim("bad", until="tomorrow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        ledger.settle("a", [claim(), bad], amounts(1), now=NOW)
    assert ledger.standing(claim().key, now=NOW) == stands()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_connection_is_carried_across_a_fork(ledger: SqliteLedger) -> None:
    """SQLite's locks are lost in a child, whether or not it uses the connection: there is none at that moment."""
    ledger.standing("k", now=NOW)
    assert ledger._connection is not None
    assert in_a_child(lambda: ledger._connection is None)
    assert ledger._connection is None
