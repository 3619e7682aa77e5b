"""The store in a file: several processes, and files that cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from pathlib import Path

import pytest

from otel_agentcost.core.cache_store import CacheStore
from otel_agentcost.savings.stores import StoreError, open_store
from otel_agentcost.savings.stores.sqlite import SqliteStore
from tests.guard.ledger.calls import in_a_child
from tests.savings.stores.contract import LATER, NOW, BoundedContract, StoreContract
from tests.savings.stores.shared_contract import SharedContract


class TestSqlite(StoreContract, BoundedContract, SharedContract):
    """In a file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/cache.db"

    def test_the_file_does_not_grow(self, store: CacheStore, tmp_path: Path) -> None:
        """What was dropped makes room for what comes: the file stays near the bound."""
        for i in range(600):
            store.put(f"k{i}", "s", os.urandom(3_000), NOW + i, LATER + i)
        store.close()
        assert (tmp_path / "cache.db").stat().st_size < 2 * 200_000 + 100_000

    def test_expired_entries_are_removed(self, store: CacheStore, tmp_path: Path) -> None:
        """Entries and claims that are not asked for any more do not stay in the file."""
        for i in range(70):
            store.put(f"k{i}", "s", b"x", NOW, NOW + 1)
            store.claim(f"k{i}", "me", NOW, NOW + 1)
        for i in range(70):
            store.put(f"l{i}", "s", b"x", LATER, LATER + 1)
        with sqlite3.connect(tmp_path / "cache.db") as connection:
            assert connection.execute("SELECT count(*) FROM entries").fetchone() == (70,)
            assert connection.execute("SELECT count(*) FROM claims").fetchone() == (0,)
        connection.close()


def said(path: Path, most: int = 200_000) -> str:
    """What a store says of why its file cannot be used."""
    store = open_store(f"sqlite:///{path}", most_bytes=most)
    with pytest.raises(StoreError) as raised:
        store.put("k", "s", b"x" * 50_000, NOW, LATER)
    with pytest.raises(StoreError):
        store.claim("k", "me", NOW, LATER)
    store.close()
    assert "\n" not in str(raised.value)
    assert repr(str(path)) in str(raised.value)
    return str(raised.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """A text, another program's database and a file of a newer version are refused, and stay as they are."""
    text, other, newer = tmp_path / "text", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_text("nothing of a database\n" * 100, encoding="utf-8")
    assert "is not a database" in said(text)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE entries (mine)")
    connection.close()
    assert "another program's database" in said(other)
    open_store(f"sqlite:///{newer}").clear(None)
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert "is of version 2, and this otel-agentcost reads 1" in said(newer)
    assert text.read_text(encoding="utf-8").startswith("nothing")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file with pages that are overwritten is one clear error."""
    path = tmp_path / "cache.db"
    store = open_store(f"sqlite:///{path}")
    for i in range(50):
        store.put(f"k{i}", "s", b"x" * 1000, NOW, LATER)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(bytes(content))
    assert "malformed" in said(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A file in no folder, or that is a folder, is one clear error."""
    assert "No such file" in said(tmp_path / "no" / "cache.db")
    (tmp_path / "folder").mkdir()
    assert "unable to open" in said(tmp_path / "folder")


def test_a_full_disk(tmp_path: Path) -> None:
    """Where no page can be added, the error says so, and what is there can still be read."""
    path = tmp_path / "cache.db"
    store = open_store(f"sqlite:///{path}")
    store.put("small", "s", b"x", NOW, LATER)
    assert isinstance(store, SqliteStore)
    assert store._connection is not None
    store._connection.execute("PRAGMA max_page_count = 12")
    with pytest.raises(StoreError, match="full"):
        store.put("k", "s", b"x" * 100_000, NOW, LATER)
    assert store.get("small", NOW) is not None
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no users to become")
def test_a_file_that_cannot_be_written() -> None:
    """A file without the right to write is one clear error."""

    def check() -> bool:
        if os.geteuid() == 0:  # root may write everything
            os.setuid(65534)
        return "readonly" in said(path) or "unable to open" in said(path)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        store = open_store(f"sqlite:///{path}")
        store.clear(None)
        store.close()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        assert in_a_child(check)
        Path(folder).chmod(0o700)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Other users of the machine can read neither the file nor its log."""
    store = open_store(f"sqlite:///{tmp_path}/cache.db")
    store.put("k", "s", b"x", NOW, LATER)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}
    store.close()


def test_a_file_that_is_busy_is_not_waited_for_long(tmp_path: Path) -> None:
    """A verb waits for another process no longer than its time-out, and reads do not wait at all."""
    store = open_store(f"sqlite:///{tmp_path}/cache.db", timeout=0.1)
    store.put("k", "s", b"x", NOW, LATER)
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert store.get("k", NOW) is not None
    with pytest.raises(StoreError, match="locked"):
        store.put("k", "s", b"y", NOW, LATER)
    assert time.monotonic() - began < 1
    other.execute("ROLLBACK")
    other.close()
    assert store.put("k", "s", b"y", NOW, LATER)
    store.close()
