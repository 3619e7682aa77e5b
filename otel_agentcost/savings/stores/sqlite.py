"""The store of several processes on one machine (`sqlite:///path`): one file, which any number of them open.

Every verb is one transaction. A verb that reads does not wait for one that writes (WAL). When a store is larger than it
may be, the entries that were stored longest ago make room: noting each use would make every hit a write. Each process
has one connection, under a lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from otel_agentcost.core.cache_store import Size, Stored
from otel_agentcost.guard.sqlite_file import SqliteFile, cause_of, path_of, write_ahead
from otel_agentcost.savings.stores import StoreError

__all__ = ["SqliteStore", "open_store"]

_T = TypeVar("_T")

VERSION: Final = 1
"""Version of the tables below. A file of another version is refused."""

APPLICATION: Final = 0x61676331
"""Marks the file as a store ("agc1"), so that nothing is kept in, or deleted from, the database of another program."""

_OVERHEAD: Final = 100
"""Bytes that an entry takes besides its key, its scope and its value."""

_EVERY: Final = 64
"""Entries that this process puts between two clean-ups."""
_AT_ONCE: Final = 500
"""Entries that one clean-up removes at most."""

_TABLES: Final = (
    """
CREATE TABLE entries (
    key BLOB PRIMARY KEY, scope BLOB NOT NULL, value BLOB NOT NULL, at REAL NOT NULL, expires REAL NOT NULL,
    size INTEGER NOT NULL
)
""",
    "CREATE INDEX entries_scope ON entries (scope)",
    "CREATE INDEX entries_expires ON entries (expires)",
    "CREATE INDEX entries_at ON entries (at, size)",
    "CREATE TABLE total (size INTEGER NOT NULL)",
    "INSERT INTO total VALUES (0)",
    "CREATE TRIGGER put AFTER INSERT ON entries BEGIN UPDATE total SET size = size + NEW.size; END",
    "CREATE TRIGGER dropped AFTER DELETE ON entries BEGIN UPDATE total SET size = size - OLD.size; END",
    "CREATE TABLE claims (key BLOB PRIMARY KEY, owner BLOB NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)

_GET = "SELECT value, at FROM entries WHERE key = ? AND expires > ?"
_PUT = "INSERT INTO entries (key, scope, value, at, expires, size) VALUES (?, ?, ?, ?, ?, ?)"
_OLDEST = f"SELECT key, size FROM entries ORDER BY at LIMIT {_AT_ONCE}"  # noqa: S608 - a constant
_EXPIRED = f"SELECT key FROM entries WHERE expires <= ? LIMIT {_AT_ONCE}"  # noqa: S608 - a constant
_CLAIM = """
INSERT INTO claims (key, owner, until) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE owner = excluded.owner OR until <= ?
"""


def open_store(url: str, *, timeout: float, most_bytes: int) -> SqliteStore:
    """Open the store in the file that `url` names: three slashes and a path, so four slashes for an absolute path.

    Raises:
        StoreError: The URL names no file.
    """
    return SqliteStore(path_of(url, "cache", StoreError), timeout, most_bytes)


class SqliteStore(SqliteFile):
    """Implements `CacheStore`."""

    shared = True
    blocking = True

    def __init__(self, path: Path, wait_seconds: float, most_bytes: int) -> None:
        self._most = most_bytes
        self._puts = 0
        super().__init__(path, wait_seconds)

    def get(self, key: str, now: float) -> Stored | None:
        """See `CacheStore`."""
        row = self._run(lambda connection: connection.execute(_GET, (_encoded(key), now)).fetchone())
        return Stored(bytes(row[0]), float(row[1])) if row is not None else None

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        """See `CacheStore`."""
        name, owner = _encoded(key), _encoded(scope)
        size = len(name) + len(owner) + len(value) + _OVERHEAD
        if size > self._most:
            return False

        def verb(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM entries WHERE key = ?", (name,))
            self._puts += 1
            if self._puts % _EVERY == 1:
                _remove(connection, [row[0] for row in connection.execute(_EXPIRED, (now,))])
                connection.execute("DELETE FROM claims WHERE until <= ?", (now,))
            self._make_room(connection, size)
            connection.execute(_PUT, (name, owner, value, now, expires, size))

        self._write(verb)
        return True

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        """See `CacheStore`."""
        words = (_encoded(key), _encoded(owner), until, now)
        return self._write(lambda connection: connection.execute(_CLAIM, words).rowcount > 0)

    def unclaim(self, key: str, owner: str) -> None:
        """See `CacheStore`."""
        words = (_encoded(key), _encoded(owner))
        self._write(lambda connection: connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", words))

    def clear(self, scope: str | None) -> int:
        """See `CacheStore`."""
        sql = "DELETE FROM entries WHERE scope = ? OR ? IS NULL"
        owner = None if scope is None else _encoded(scope)
        return self._write(lambda connection: connection.execute(sql, (owner, owner)).rowcount)

    def size(self, now: float) -> Size:
        """See `CacheStore`."""
        sql = "SELECT count(*), coalesce(sum(size), 0) FROM entries WHERE expires > ?"
        return Size(*self._run(lambda connection: connection.execute(sql, (now,)).fetchone()))

    # --- under the lock ---

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        (total,) = connection.execute("SELECT size FROM total").fetchone()
        while total + size > self._most:
            going: list[Any] = []
            for key, each in connection.execute(_OLDEST):
                going.append(key)
                total -= each
                if total + size <= self._most:
                    break
            if not going:
                return
            _remove(connection, going)

    def _write(self, verb: Callable[[sqlite3.Connection], _T]) -> _T:
        def within(connection: sqlite3.Connection) -> _T:
            connection.execute("BEGIN IMMEDIATE")
            result = verb(connection)
            connection.execute("COMMIT")
            return result

        return self._run(within)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables in a new file; refuse the file of another program or version."""
        if not self._is_ours(connection):
            connection.execute("BEGIN IMMEDIATE")
            if not self._is_ours(connection):  # another process may have made them meanwhile
                for statement in _TABLES:
                    connection.execute(statement)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
        write_ahead(connection)

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Return False for a new file.

        Raises:
            StoreError: The file is of another program or of another version.
        """
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            return False
        if application != APPLICATION:
            raise StoreError(f"The cache file {str(self.path)!r} is another program's database.")
        if version != VERSION:
            raise StoreError(
                f"The cache file {str(self.path)!r} is of version {version}, and this otel-agentcost reads {VERSION}: "
                "delete it, or name another."
            )
        return True

    def _error(self, error: Exception) -> StoreError:
        cause = cause_of(error).partition(" with text ")[0]  # that text is content
        return StoreError(f"The cache file {str(self.path)!r} cannot be used: {cause}.")


def _remove(connection: sqlite3.Connection, keys: list[Any]) -> None:
    connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
