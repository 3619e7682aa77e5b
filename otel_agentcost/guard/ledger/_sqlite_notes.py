"""The notes of the ledger in a file: one table, which the first note creates."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, TypeVar

from otel_agentcost.core.notes import NoteVerbs
from otel_agentcost.guard.ledger import GRACE, encoded

_T = TypeVar("_T")

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS notes (key BLOB PRIMARY KEY, note BLOB NOT NULL, until REAL NOT NULL) WITHOUT ROWID
"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS notes_until ON notes (until)"
_FORGET: Final = "DELETE FROM notes WHERE until <= ?"
_FIND: Final = "SELECT note FROM notes WHERE key = ? AND until > ?"
_NEW: Final = "INSERT OR IGNORE INTO notes (note, until, key) VALUES (?, ?, ?)"
_CHANGE: Final = "UPDATE notes SET note = ?, until = ? WHERE key = ? AND note = ?"
_DELETE: Final = "DELETE FROM notes WHERE key = ? AND note = ?"


class SqliteNotes(NoteVerbs):
    """Implements `NoteVerbs` in the transactions of the ledger."""

    @abstractmethod
    def _transact(self, now: float | None, verb: Callable[[sqlite3.Connection], _T]) -> _T: ...

    def find_note(self, key: str, *, now: float) -> str | None:
        """See `NoteVerbs`."""

        def verb(connection: sqlite3.Connection) -> str | None:
            _prepare(connection)
            row = connection.execute(_FIND, (encoded(key), now - GRACE)).fetchone()
            return bytes(row[0]).decode("utf-8", "surrogatepass") if row is not None else None

        return self._transact(None, verb)

    def swap_note(self, key: str, before: str | None, after: str | None, *, now: float, until: float) -> bool:
        """See `NoteVerbs`."""
        name = encoded(key)

        def verb(connection: sqlite3.Connection) -> bool:
            _prepare(connection)
            connection.execute(_FORGET, (now - GRACE,))
            if before is None and after is None:
                return connection.execute(_FIND, (name, now - GRACE)).fetchone() is None
            if before is None:
                done = connection.execute(_NEW, (encoded(after or ""), until, name))
            elif after is None:
                done = connection.execute(_DELETE, (name, encoded(before)))
            else:
                done = connection.execute(_CHANGE, (encoded(after), until, name, encoded(before)))
            return done.rowcount > 0

        return self._transact(now, verb)


def _prepare(connection: sqlite3.Connection) -> None:
    """Create the table: a file may be older, or a new one in the place of another."""
    connection.execute(_TABLE)
    connection.execute(_INDEX)
