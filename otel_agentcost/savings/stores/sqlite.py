"""The store of several processes on one machine (`sqlite:///path`): one file, which any number of them open.

Every verb is one transaction. A verb that reads does not wait for one that writes (WAL). When a store is larger than it
may be, the entries that were stored longest ago make room: noting each use would make every hit a write. Each process
has one connection, under a lock.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from otel_agentcost.core.cache_store import Size, Stored
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.guard.ledger._forks import ForkSafe
from otel_agentcost.savings.stores import StoreError, shown

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

_INHERITED: list[sqlite3.Connection | None] = []
"""Connections of a parent process: never used and never closed."""


def open_store(url: str, *, timeout: float, most_bytes: int) -> SqliteStore:
    """Open the store in the file that `url` names: three slashes and a path, so four slashes for an absolute path.

    Raises:
        StoreError: The URL names no file.
    """
    rest = url.partition("://")[2]
    if not rest.startswith("/") or rest in ("/", "/:memory:"):
        raise StoreError(
            f"The cache {shown(url)} names no file: it is sqlite:///relative/path or sqlite:////absolute/path."
        )
    if os.name != "nt" and re.match(r"/[A-Za-z]:[\\/]", rest):  # a file of that name would be made
        raise StoreError(f"The cache {shown(url)} is in a path of Windows, and this system is not.")
    if "?" in rest:
        raise StoreError(f"The cache {shown(url)} has parameters: a file takes none, remove them.")
    try:  # absolute now: a program may change its directory before its first call
        return SqliteStore(Path(rest[1:]).expanduser().absolute(), timeout, most_bytes)
    except RuntimeError as error:
        raise StoreError(f"The cache {shown(url)} is in a home directory that is not known.") from error


class SqliteStore(ForkSafe):
    """Implements `CacheStore`."""

    shared = True
    blocking = True

    def __init__(self, path: Path, wait_seconds: float, most_bytes: int) -> None:
        self.path = path
        self._wait_seconds = wait_seconds
        self._most = most_bytes
        self._connection: sqlite3.Connection | None = None
        self._puts = 0
        super().__init__()

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

    def close(self) -> None:
        """See `CacheStore`."""
        with self._lock:
            self._disconnect()

    def __del__(self) -> None:
        # Garbage collection closes a connection too, but Python 3.13 warns of it.
        with suppress(Exception):
            self._disconnect()

    def before_fork(self) -> None:
        """Close the connection: SQLite's locks belong to the process, so neither of the two could use it safely."""
        self._disconnect()

    def after_fork(self) -> None:
        """Drop, without closing it, a connection that was inherited by a fork outside Python's control."""
        _INHERITED.append(self._connection)
        self._connection = None

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

    def _run(self, verb: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a verb. No context manager of Python code around the lock: an exception could leave it locked."""
        with self._lock:
            connection = None
            try:
                connection = self._connection or self._connect()
                if connection.in_transaction:  # an interrupted verb could not end it
                    connection.execute("ROLLBACK")
                return verb(connection)
            except BaseException as error:  # of others too: no transaction may stay open
                if connection is not None and connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                reraise_foreign(error)
                if not isinstance(error, (sqlite3.Error, OSError)):
                    raise
                self._disconnect()
                raise self._error(error) from error

    def _connect(self) -> sqlite3.Connection:
        # Created here for its mode, which SQLite copies to its other files. An existing file is never opened: closing
        # any descriptor of it would drop the locks of all connections of this process.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=self._wait_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables in a new file; refuse the file of another program or version."""
        if not self._is_ours(connection):
            connection.execute("BEGIN IMMEDIATE")
            if not self._is_ours(connection):  # another process may have made them meanwhile
                for statement in _TABLES:
                    connection.execute(statement)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
        for _ in range(50):  # SQLite does not wait for this lock; without WAL everything is slower, and still correct
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
                break
            time.sleep(0.01)

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

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _error(self, error: Exception) -> StoreError:
        cause = " ".join(str(error).split()).partition(" with text ")[0]  # that text is content
        if isinstance(error, OSError):
            cause = error.strerror or cause
        return StoreError(f"The cache file {str(self.path)!r} cannot be used: {cause}.")


def _remove(connection: sqlite3.Connection, keys: list[Any]) -> None:
    connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
