"""The ledger of several processes on one machine (`sqlite:///path`): one file, which any number of them open.

Every verb is one `BEGIN IMMEDIATE` transaction: it has the right to write before it reads. (A transaction that reads
first and writes then overspends, or fails, as soon as two processes do it at once.) What is held is summed up by
triggers, so that it cannot come apart from the holds. A killed process loses nothing settled; a power cut may lose the
last instants, which is the price of not waiting for the disk on each call. One connection a process, under a lock.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from otel_agentcost.diagnostics import without_password
from otel_agentcost.guard.ledger import (
    GRACE,
    MOST,
    REMEMBER,
    UNITS,
    Amounts,
    Claim,
    LedgerError,
    Refusal,
    Standing,
    checked,
    encoded,
    ends,
    refusal,
)
from otel_agentcost.guard.ledger._forks import ForkSafe

__all__ = ["SqliteLedger", "open_ledger"]

VERSION = 1
"""Of the tables below. Another one is refused, not guessed at."""

APPLICATION = 0x61676C31
"""Marks the file as ours ("agl1"), so that no budget is counted in another program's database."""

PATIENCE = 5.0
"""Seconds to wait for other processes' transactions, at least. Each takes a fraction of a millisecond: a file that is
locked is busy, not down, and who does not wait for it spends what others have."""

_SPENT = ", ".join(UNITS)
_HELD = ", ".join(f"held_{unit}" for unit in UNITS)

_TABLES = f"""
CREATE TABLE accounts (
    key BLOB PRIMARY KEY, until REAL NOT NULL,
    {", ".join(f"{unit} INTEGER NOT NULL DEFAULT 0, held_{unit} INTEGER NOT NULL DEFAULT 0" for unit in UNITS)}
) WITHOUT ROWID;
CREATE INDEX accounts_until ON accounts (until);
CREATE TABLE holds (
    call_id BLOB NOT NULL, key BLOB NOT NULL, expires REAL NOT NULL,
    {", ".join(f"{unit} INTEGER NOT NULL" for unit in UNITS)},
    PRIMARY KEY (call_id, key)
) WITHOUT ROWID;
CREATE INDEX holds_expires ON holds (expires);
CREATE TABLE settled (call_id BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX settled_until ON settled (until);
CREATE TRIGGER hold AFTER INSERT ON holds BEGIN
    UPDATE accounts SET {", ".join(f"held_{unit} = held_{unit} + NEW.{unit}" for unit in UNITS)} WHERE key = NEW.key;
END;
CREATE TRIGGER unhold AFTER DELETE ON holds BEGIN
    UPDATE accounts SET {", ".join(f"held_{unit} = held_{unit} - OLD.{unit}" for unit in UNITS)} WHERE key = OLD.key;
END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""  # noqa: S608 - constants

_KNOWN = """
SELECT 1 FROM holds WHERE call_id = ? UNION ALL SELECT 1 FROM settled WHERE call_id = ? AND until > ? LIMIT 1
"""
_SETTLED = "SELECT 1 FROM settled WHERE call_id = ? AND until > ?"
_REMEMBER = "INSERT OR REPLACE INTO settled (call_id, until) VALUES (?, ?)"
_ROWS = f"SELECT key, until, {_SPENT}, {_HELD} FROM accounts WHERE key IN ({{}})"  # noqa: S608 - constants
_OPEN = """
INSERT INTO accounts (key, until) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)
"""
_SPEND = f"UPDATE accounts SET {', '.join(f'{unit} = max(0, {unit} + ?)' for unit in UNITS)} WHERE key = ?"  # noqa: S608 - constants
_HOLD = f"""
INSERT OR IGNORE INTO holds (call_id, key, expires, {_SPENT}) VALUES (?, ?, ?, {", ".join("?" * len(UNITS))})
"""  # noqa: S608 - constants
_FORGET = "DELETE FROM accounts WHERE key IN (SELECT key FROM accounts WHERE until <= ? LIMIT 200)"
_FORGET_SETTLED = "DELETE FROM settled WHERE call_id IN (SELECT call_id FROM settled WHERE until <= ? LIMIT 200)"

_EVERY = 32
"""Verbs of this process between two clean-ups, each of which deletes a few hundred rows at most."""

_INHERITED: list[sqlite3.Connection | None] = []
"""Connections of a parent process: never used, never closed."""


def open_ledger(url: str, *, timeout: float) -> SqliteLedger:
    """The ledger in the file that `url` names: three slashes and a path, which may itself be absolute (four)."""
    rest = url.partition("://")[2]
    if not rest.startswith("/") or rest in ("/", "/:memory:"):
        raise LedgerError(
            f"The ledger {without_password(url)!r:.120} names no file: "
            "it is sqlite:///relative/path or sqlite:////absolute/path."
        )
    # Absolute at once: a program may change its directory before its first call.
    try:
        return SqliteLedger(Path(rest[1:]).expanduser().absolute(), max(timeout, PATIENCE))
    except RuntimeError as error:
        raise LedgerError(f"The ledger {url!r:.120} is in a home directory that is not known.") from error


class SqliteLedger(ForkSafe):
    """Implements `Ledger`."""

    shared = True
    blocking = True
    has_timeout = False  # a file that is locked is busy, not down

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._connection: sqlite3.Connection | None = None
        self._verbs = 0
        super().__init__()

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """See `Ledger`."""
        counts = _counts(amounts)
        call = encoded(call_id)
        keys = dict.fromkeys(encoded(claim.key) for claim in claims)
        with self._transaction(now) as connection:
            if connection.execute(_KNOWN, (call, call, now)).fetchone():
                return None
            rows = _rows(connection, keys, now)
            first = None
            for claim in claims:
                row = rows.get(encoded(claim.key), _NEW)
                found = refusal(claim, row.spent, row.held, amounts)
                if found is not None and (first is None or first.only_held):
                    first = found
            if first is not None:
                return first
            expires = now + lease
            _open(connection, claims, rows, expires)
            connection.executemany(_HOLD, [(call, key, expires, *counts) for key in keys])
            return None

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """See `Ledger`."""
        counts = _counts(amounts, -MOST)
        call = encoded(call_id)
        keys = dict.fromkeys(encoded(claim.key) for claim in claims)
        with self._transaction(now) as connection:
            if not connection.execute(_SETTLED, (call, now)).fetchone():
                connection.execute("DELETE FROM holds WHERE call_id = ?", (call,))
                _open(connection, claims, _rows(connection, keys, now), 0.0)
                connection.executemany(_SPEND, [(*counts, key) for key in keys])
                connection.execute(_REMEMBER, (call, now + REMEMBER))
            rows = _rows(connection, keys, float("-inf"))  # also of what has ended meanwhile
            return [(claim, rows.get(encoded(claim.key), _NEW).standing()) for claim in claims]

    def release(self, call_id: str, *, now: float) -> None:
        """See `Ledger`."""
        with self._transaction(now) as connection:
            connection.execute("DELETE FROM holds WHERE call_id = ?", (encoded(call_id),))

    def standing(self, key: str, *, now: float) -> Standing:
        """See `Ledger`."""
        with self._transaction(now) as connection:
            return _rows(connection, [encoded(key)], now).get(encoded(key), _NEW).standing()

    def ended(self, key: str) -> None:
        """See `Ledger`."""

    def caution(self) -> str | None:
        """See `Ledger`."""
        return None

    def close(self) -> None:
        """See `Ledger`."""
        with self._lock:
            self._disconnect()

    def __del__(self) -> None:
        # A connection that is merely dropped is closed too, but Python 3.13 warns of it.
        with suppress(Exception):
            self._disconnect()

    def before_fork(self) -> None:
        """Closes the connection: SQLite's locks are the process's, and neither child nor parent could use it safely."""
        self._disconnect()

    def after_fork(self) -> None:
        """Leaves alone a connection that a fork of which Python was not told in advance has brought along."""
        _INHERITED.append(self._connection)
        self._connection = None

    # --- under the lock ---

    @contextmanager
    def _transaction(self, now: float) -> Generator[sqlite3.Connection, None, None]:
        """Runs a verb: alone among all processes, wholly or not at all, and without the holds that have expired."""
        with self._lock:
            try:
                connection = self._connection or self._connect()
                self._begin(connection)
                try:
                    connection.execute("DELETE FROM holds WHERE expires <= ?", (now,))
                    yield connection
                    self._clean_up(connection, now)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                raise self._error(error) from error

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Waits for its turn in short naps: those of SQLite grow to a tenth of a second, and processes starve."""
        deadline = time.monotonic() + self._patience
        while not _begun(connection, last_try=time.monotonic() > deadline):
            time.sleep(random.uniform(0.0002, 0.002))  # at random, so that not all come back at once

    def _clean_up(self, connection: sqlite3.Connection, now: float) -> None:
        self._verbs += 1
        if self._verbs % _EVERY == 0:
            connection.execute(_FORGET, (now - GRACE,))
            connection.execute(_FORGET_SETTLED, (now,))

    def _connect(self) -> sqlite3.Connection:
        # Made here for its mode, which SQLite then gives its other files. Never opened where it exists: closing any
        # descriptor of it would drop the locks of all this process's connections.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the tables in a new file; refuses one that is another's."""
        connection.execute("BEGIN IMMEDIATE")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            for statement in _statements():
                connection.execute(statement)
        elif application != APPLICATION:
            raise LedgerError(f"The ledger file {str(self._path)!r} is another program's database.")
        elif version != VERSION:
            raise LedgerError(
                f"The ledger file {str(self._path)!r} is of version {version}, and this otel-agentcost reads {VERSION}."
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 0")  # from here on `_begin` waits
        for _ in range(50):  # not waited for by SQLite itself; without it all is slower, and as right
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
                break
            time.sleep(0.01)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _error(self, error: Exception) -> LedgerError:
        cause = " ".join(str(error).split())
        if isinstance(error, OSError):
            cause = error.strerror or cause
        return LedgerError(f"The ledger file {str(self._path)!r} cannot be used: {cause}.")


class _Row(NamedTuple):
    """An account as it is in the file."""

    until: float
    spent: Amounts
    held: Amounts

    def standing(self) -> Standing:
        return Standing(spent=self.spent, held=self.held)


_NEW = _Row(0.0, dict.fromkeys(UNITS, 0), dict.fromkeys(UNITS, 0))
"""An account that is not there yet."""


def _begun(connection: sqlite3.Connection, *, last_try: bool) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if last_try or "locked" not in str(error):
            raise
        return False
    return True


def _statements() -> Iterator[str]:
    """The statements of `_TABLES`, one by one: `executescript` would end the transaction."""
    statement = ""
    for line in _TABLES.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _counts(amounts: Amounts, least: int = 0) -> tuple[int, ...]:
    checked(amounts, least)
    return tuple(amounts.get(unit, 0) for unit in UNITS)


def _rows(connection: sqlite3.Connection, keys: Collection[bytes], now: float) -> dict[bytes, _Row]:
    """The accounts with these keys. What has ended is deleted, and not among them."""
    rows: dict[bytes, _Row] = {}
    ended: list[tuple[bytes]] = []
    for key, until, *counts in connection.execute(_ROWS.format(",".join("?" * len(keys))), tuple(keys)):
        if until <= now - GRACE:
            ended.append((key,))
        else:
            spent, held = counts[: len(UNITS)], counts[len(UNITS) :]
            rows[key] = _Row(until, dict(zip(UNITS, spent, strict=True)), dict(zip(UNITS, held, strict=True)))
    if ended:
        connection.executemany("DELETE FROM accounts WHERE key = ?", ended)
    return rows


def _open(connection: sqlite3.Connection, claims: Iterable[Claim], rows: Mapping[bytes, _Row], expires: float) -> None:
    """Sees to it that each claim has an account that is kept long enough."""
    late = [
        (key, until)
        for claim in claims
        if (until := max(ends(claim), expires)) > rows.get(key := encoded(claim.key), _NEW).until
    ]
    if late:
        connection.executemany(_OPEN, late)
