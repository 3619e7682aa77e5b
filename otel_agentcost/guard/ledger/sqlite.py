"""The ledger of several processes on one machine (`sqlite:///path`): one file, which any number of them open.

Every verb is one `BEGIN IMMEDIATE` transaction: it has the write lock before it reads. (A transaction that reads first
and then writes overspends, or fails, if two processes do it at once.) Triggers sum up the reservations, so that the
sums always match. A killed process loses nothing that was settled. A power cut may lose the last instants, because
calls do not wait for the disk. Each process has one connection, under a lock.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

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
    refusals,
    told,
)
from otel_agentcost.guard.ledger import _sqlite_slices as slices
from otel_agentcost.guard.ledger._sqlite_accounts import (
    NEW,
    Row,
    for_keys,
    look,
    open_accounts,
    rows_of,
    settled,
    spend,
    standings,
    with_views,
)
from otel_agentcost.guard.ledger._sqlite_batches import SqliteBatches
from otel_agentcost.guard.ledger._sqlite_notes import SqliteNotes
from otel_agentcost.guard.sqlite_file import SqliteFile, cause_of, path_of, write_ahead

__all__ = ["SqliteLedger", "open_ledger"]

_T = TypeVar("_T")

VERSION = 1
"""Version of the tables below. A file of another version is refused."""

APPLICATION = 0x61676C31
"""Marks the file as a ledger ("agl1"), so that no budget is counted in the database of another program."""

PATIENCE = 5.0
"""Minimum of seconds to wait for the transactions of other processes. Each takes a fraction of a millisecond: a locked
file is busy, not down, and a call that does not wait would not be counted."""

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
_REMEMBER = """
INSERT INTO settled (call_id, until) VALUES (?, ?)
ON CONFLICT (call_id) DO UPDATE SET until = excluded.until WHERE settled.until <= ?
"""
_FORGET = "DELETE FROM accounts WHERE key IN (SELECT key FROM accounts WHERE until <= ? LIMIT 200)"
_FORGET_SETTLED = "DELETE FROM settled WHERE call_id IN (SELECT call_id FROM settled WHERE until <= ? LIMIT 200)"

_EVERY = 32
"""Verbs of this process between two clean-ups. Each clean-up deletes at most a few hundred rows."""


def open_ledger(url: str, *, timeout: float) -> SqliteLedger:
    """Open the ledger in the file that `url` names: three slashes and a path, so four slashes for an absolute path.

    Raises:
        LedgerError: The URL names no file.

    """
    return SqliteLedger(path_of(url, "ledger", LedgerError), max(timeout, PATIENCE))


class SqliteLedger(SqliteFile, SqliteBatches, SqliteNotes):
    """Implements `Ledger`, `BatchVerbs` and `NoteVerbs`."""

    shared = True
    blocking = True
    has_timeout = False  # a file that is locked is busy, not down
    rolling = True

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._verbs = 0
        super().__init__(path, wait_seconds)

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """See `Ledger`."""
        counts = _counts(amounts)
        call = encoded(call_id)
        keys = dict.fromkeys(encoded(claim.key) for claim in claims)
        rolling = slices.rolling_keys(claims)

        def verb(connection: sqlite3.Connection) -> Refusal | None:
            if connection.execute(_KNOWN, (call, call, now)).fetchone():
                return None
            rows = rows_of(connection, keys, now, rolling)
            views = slices.views(connection, rolling, now)
            seen = with_views(rows, views) if rolling else rows
            refused: list[Refusal] = []
            for claim in claims:
                row = seen.get(key := encoded(claim.key), NEW)
                if not row.has_room(claim, amounts):
                    found = refusals(claim, *row.standing(), amounts)
                    refused += [slices.with_time(each, views.get(key)) for each in found]
            if refused:
                return told(refused)
            expires = now + lease
            open_accounts(connection, claims, rows, expires)
            if keys:
                held = [value for key in keys for value in (call, key, expires, *counts)]
                connection.execute(for_keys(len(keys)).hold, held)
            return None

        return self._transact(now, verb)

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """See `Ledger`."""
        counts = _counts(amounts, -MOST)
        call = encoded(call_id)
        keys = dict.fromkeys(encoded(claim.key) for claim in claims)

        def verb(connection: sqlite3.Connection) -> Mapping[bytes, Row]:
            if connection.execute(_REMEMBER, (call, now + REMEMBER, now)).rowcount:
                connection.execute("DELETE FROM holds WHERE call_id = ?", (call,))
                return spend(connection, claims, keys, counts, now)
            return settled(connection, claims, keys, now)

        return standings(claims, self._transact(now, verb))

    def release(self, call_id: str, *, now: float) -> None:
        """See `Ledger`."""
        call = (encoded(call_id),)
        self._transact(now, lambda connection: connection.execute("DELETE FROM holds WHERE call_id = ?", call))

    def standing(self, key: str, *, now: float) -> Standing:
        """See `Ledger`."""
        name = encoded(key)
        return self._transact(None, lambda connection: look(connection, name, now))

    def keys(self, *, now: float) -> Sequence[str]:
        """See `Ledger`."""
        sql = "SELECT key FROM accounts WHERE until > ? ORDER BY key"
        found = self._transact(None, lambda connection: connection.execute(sql, (now - GRACE,)).fetchall())
        return [bytes(key).decode("utf-8", "surrogatepass") for (key,) in found]

    def ended(self, key: str) -> None:
        """See `Ledger`."""

    def caution(self) -> str | None:
        """See `Ledger`."""
        return None

    # --- under the lock ---

    def _spend(
        self, connection: sqlite3.Connection, claims: Sequence[Claim], amounts: Amounts, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """Add amounts to the accounts of `claims`, in the transaction that is open."""
        keys = dict.fromkeys(encoded(claim.key) for claim in claims)
        return standings(claims, spend(connection, claims, keys, _counts(amounts), now))

    def _transact(self, now: float | None, verb: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a verb in one transaction, after expired reservations are deleted.

        `now` is None for a verb that only reads. It deletes nothing: its clock may be ahead.
        """

        def transaction(connection: sqlite3.Connection) -> _T:
            self._begin(connection)
            if now is not None:
                connection.execute("DELETE FROM holds WHERE expires <= ?", (now,))
            result = verb(connection)
            if now is not None:
                self._clean_up(connection, now)
            connection.execute("COMMIT")
            return result

        return self._run(transaction)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Wait for the write lock in short naps: those of SQLite grow to a tenth of a second, and processes starve."""
        deadline = time.monotonic() + self._wait_seconds
        while not _begun(connection, last_try=time.monotonic() > deadline):
            time.sleep(random.uniform(0.0002, 0.002))  # random, so that processes do not retry at the same time

    def _clean_up(self, connection: sqlite3.Connection, now: float) -> None:
        self._verbs += 1
        if self._verbs % _EVERY == 0:
            connection.execute(_FORGET, (now - GRACE,))
            connection.execute(_FORGET_SETTLED, (now,))

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables in a new file; refuse the file of another program."""
        connection.execute("BEGIN IMMEDIATE")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            for statement in _statements():
                connection.execute(statement)
        elif application != APPLICATION:
            raise LedgerError(f"The ledger file {str(self.path)!r} is another program's database.")
        elif version != VERSION:
            raise LedgerError(
                f"The ledger file {str(self.path)!r} is of version {version}, and this otel-agentcost reads {VERSION}."
            )
        for statement in slices.TABLES:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 0")  # from now on `_begin` waits
        write_ahead(connection)

    def _error(self, error: Exception) -> LedgerError:
        return LedgerError(f"The ledger file {str(self.path)!r} cannot be used: {cause_of(error)}.")


def _begun(connection: sqlite3.Connection, *, last_try: bool) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if last_try or "locked" not in str(error):
            raise
        return False
    return True


def _statements() -> Iterator[str]:
    """Yield the statements of `_TABLES` one by one: `executescript` would end the transaction."""
    statement = ""
    for line in _TABLES.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _counts(amounts: Amounts, least: int = 0) -> tuple[int, ...]:
    checked(amounts, least)
    return tuple(amounts.get(unit, 0) for unit in UNITS)
