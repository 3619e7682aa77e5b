"""A file of SQLite that several processes use: how a URL names it, and the one connection of this process.

The ledger and the store of caches are such files. They say what is in them; this says how they are opened, locked,
closed and left to a child process.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from otel_agentcost.diagnostics import reraise_foreign, without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard.fork_safe import ForkSafe

_T = TypeVar("_T")

_INHERITED: list[sqlite3.Connection | None] = []
"""Connections of a parent process: never used and never closed."""


def path_of(url: str, what: str, error: type[AgentCostError]) -> Path:
    """Return the path that a URL names: three slashes and a path, so four slashes for an absolute path.

    Args:
        url: For example `sqlite:////absolute/path`.
        what: What is in the file, for people ("ledger").
        error: The exception to raise.

    Raises:
        AgentCostError: The URL names no file.
    """
    rest, shown = url.partition("://")[2], f"The {what} {without_password(url)!r:.120}"
    if not rest.startswith("/") or rest in ("/", "/:memory:"):
        raise error(f"{shown} names no file: it is sqlite:///relative/path or sqlite:////absolute/path.")
    if os.name != "nt" and re.match(r"/[A-Za-z]:[\\/]", rest):  # a file of that name would be made
        raise error(f"{shown} is in a path of Windows, and this system is not.")
    if "?" in rest:
        raise error(f"{shown} has parameters: a file takes none, remove them.")
    try:  # absolute now: a program may change its directory before its first call
        return Path(rest[1:]).expanduser().absolute()
    except RuntimeError as reason:
        raise error(f"{shown} is in a home directory that is not known.") from reason


class SqliteFile(ForkSafe, ABC):
    """A file and the connection to it, which is made for the first verb and made again after an error."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self.path = path
        self._wait_seconds = wait_seconds
        self._connection: sqlite3.Connection | None = None
        super().__init__()

    @abstractmethod
    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables in a new file; refuse the file of another program or version."""

    @abstractmethod
    def _error(self, error: Exception) -> AgentCostError:
        """Return the exception to raise for an error of SQLite or of the system."""

    def close(self) -> None:
        """Close the connection. A later verb opens it again."""
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

    def _run(self, verb: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a verb under the lock. It ends its transaction itself; one that it could not end is rolled back.

        No context manager of Python code around the lock: the exception of a signal handler could leave it locked.
        """
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
        except BaseException:  # of others too: the connection would stay open
            connection.close()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer not wait for each other (WAL)."""
    for _ in range(50):  # SQLite does not wait for this lock; without WAL everything is slower, and still correct
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            break
        time.sleep(0.01)


def cause_of(error: Exception) -> str:
    """Return the reason of an error of SQLite or of the system, in one line."""
    cause = " ".join(str(error).split())
    return (error.strerror or cause) if isinstance(error, OSError) else cause
