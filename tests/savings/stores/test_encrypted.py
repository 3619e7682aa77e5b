"""Encryption at rest: what is on the disk, and what another key, a moved or a changed value do."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from otel_agentcost import diagnostics
from otel_agentcost.core.cache_store import CacheStore, Stored
from otel_agentcost.savings.stores import StoreError, open_store
from otel_agentcost.savings.stores._encrypted import EncryptedStore, key_bytes
from otel_agentcost.savings.stores._opening import open_for_calls, sealed
from otel_agentcost.settings import from_environment
from tests.savings.stores.contract import LATER, MOST, NOW, BoundedContract, StoreContract

KEY = Fernet.generate_key().decode()


class TestEncrypted(StoreContract, BoundedContract):
    """In a file, with a key."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/cache.db"

    @pytest.fixture
    def store(self, url: str) -> Iterator[CacheStore]:
        store = sealed(url, KEY, most_bytes=MOST)
        assert isinstance(store, EncryptedStore)
        yield store
        store.close()

    def test_nothing_can_be_read_without_the_key(self, store: CacheStore, url: str, tmp_path: Path) -> None:
        """The file does not have the text, equal values differ in it, and another key opens nothing."""
        secret = b"what the customer said " * 20
        store.put("a", "s", secret, NOW, LATER)
        store.put("b", "s", secret, NOW, LATER)
        store.close()
        assert b"customer" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
        plain = open_store(url)
        first, second = plain.get("a", NOW), plain.get("b", NOW)
        assert first is not None
        assert second is not None
        assert first.value != second.value
        plain.close()
        other = sealed(url, Fernet.generate_key().decode())
        assert other.get("a", NOW) is None
        other.close()
        assert store.get("a", NOW) == Stored(secret, NOW)

    def test_a_changed_value_is_none(self, store: CacheStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A value that was moved to another key, made younger, cut or changed is not read; the log says so once."""
        for key in "abcdef":
            store.put(key, f"tenant={key}", f"of {key}".encode(), NOW, LATER)
        store.close()
        with sqlite3.connect(tmp_path / "cache.db") as connection:
            connection.execute("UPDATE entries SET value = (SELECT value FROM entries WHERE key = ?) WHERE key = ?",
                               (b"a", b"b"))  # fmt: skip
            connection.execute("UPDATE entries SET at = at + 1 WHERE key = ?", (b"c",))
            connection.execute("UPDATE entries SET value = substr(value, 1, 9) WHERE key = ?", (b"d",))
            connection.execute(
                "UPDATE entries SET value = CAST(x'02' || substr(value, 2) AS BLOB) WHERE key = ?", (b"e",)
            )
        connection.close()
        diagnostics.forget_causes()
        with caplog.at_level(logging.WARNING):
            found = {key for key in "abcdef" if store.get(key, NOW) is not None}
        assert found == {"a", "f"}
        assert caplog.text.count("does not open") == 1


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    """`file:` names a file with the key; one that is missing or has none is one sentence without its text."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="ascii")
    assert key_bytes(f"file:{file}") == key_bytes(KEY)
    assert len(key_bytes(KEY)) == 32
    file.write_text("not-the-key-but-secret", encoding="ascii")
    for wrong in (f"file:{file}", f"file:{tmp_path}/none", "tooshortbutsecret", "", f"file:{tmp_path}"):
        with pytest.raises(StoreError, match="nothing is cached") as raised:
            key_bytes(wrong)
        assert "secret" not in str(raised.value)


def test_memory_is_not_encrypted() -> None:
    """What is not at rest is kept as it is."""
    assert not isinstance(sealed("memory://", KEY), EncryptedStore)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cryptography is not installed, one sentence says which extra brings it, and nothing is kept in plain."""
    for name in ("cryptography", "cryptography.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreError, match=r"otel-agentcost\[encryption\]"):
        open_for_calls(f"sqlite:///{tmp_path}/cache.db", KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "written", ["my secret passphrase", KEY[:-2], "ä" * 44], ids=["words", "a part of a key", "not ASCII"]
)
def test_the_setting_shows_no_key(written: str, tmp_path: Path) -> None:
    """Neither a key nor what is none is ever shown; what is none does not mean that nothing is encrypted."""
    right = from_environment({"OTEL_AGENTCOST_CACHE_KEY": KEY})
    assert str(right.cache_key) == "***"
    assert KEY not in repr(right)
    wrong = from_environment({"OTEL_AGENTCOST_CACHE_KEY": written})
    (notice,) = wrong.notices
    assert "is ***, which is no key" in notice
    assert written not in repr(wrong)
    assert "Nothing is cached on disk or on a server." in notice
    assert not isinstance(wrong.cache_key, str)
    assert wrong.cache_key is not None
    with pytest.raises(StoreError):
        sealed(f"sqlite:///{tmp_path}/x", wrong.cache_key.written)
