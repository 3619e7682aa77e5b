"""The batches of the ledger in a file: three tables, which the first batch creates."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from otel_agentcost.core.batch import NONE_COUNTED, BatchVerbs, KeptBatch, LinesCounted, line_mark, total
from otel_agentcost.guard.ledger import GRACE, Amounts, Claim, Standing, checked, encoded

_T = TypeVar("_T")

_TABLES: Final = (
    """
CREATE TABLE IF NOT EXISTS batches (
    key BLOB PRIMARY KEY, record BLOB NOT NULL, until REAL NOT NULL, kept REAL NOT NULL,
    open INTEGER NOT NULL DEFAULT 1, lines INTEGER NOT NULL DEFAULT 0, nano_usd INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
""",
    "CREATE TABLE IF NOT EXISTS batch_names (name BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS batch_names_key ON batch_names (key)",
    """
CREATE TABLE IF NOT EXISTS batch_lines (key BLOB NOT NULL, line BLOB NOT NULL, PRIMARY KEY (key, line)) WITHOUT ROWID
""",
)
_KEEP: Final = "INSERT OR IGNORE INTO batches (key, record, until, kept) VALUES (?, ?, ?, ?)"
_FORGET: Final = (
    "DELETE FROM batch_lines WHERE key IN (SELECT key FROM batches WHERE until <= ?)",
    "DELETE FROM batch_names WHERE key IN (SELECT key FROM batches WHERE until <= ?)",
    "DELETE FROM batches WHERE until <= ?",
)
_NAME: Final = "INSERT OR REPLACE INTO batch_names (name, key) SELECT ?, key FROM batches WHERE key = ?"
_FIND: Final = """
SELECT key, record, open, lines, nano_usd FROM batches
WHERE key = coalesce((SELECT key FROM batch_names WHERE name = ?), ?) AND until > ?
"""
_OPEN: Final = "SELECT key, record, open, lines, nano_usd FROM batches WHERE open AND until > ? ORDER BY kept"
_IS_OPEN: Final = "SELECT 1 FROM batches WHERE key = ? AND open AND until > ?"
_LINE: Final = "INSERT OR IGNORE INTO batch_lines (key, line) VALUES (?, ?)"
_SUM: Final = "UPDATE batches SET lines = lines + ?, nano_usd = nano_usd + ? WHERE key = ?"
_CLOSE: Final = "UPDATE batches SET open = 0 WHERE key = ? AND open AND until > ?"


class SqliteBatches(BatchVerbs):
    """Implements `BatchVerbs` in the transactions of the ledger."""

    @abstractmethod
    def _transact(self, now: float | None, verb: Callable[[sqlite3.Connection], _T]) -> _T: ...

    @abstractmethod
    def _spend(
        self, connection: sqlite3.Connection, claims: Sequence[Claim], amounts: Amounts, now: float
    ) -> Sequence[tuple[Claim, Standing]]: ...

    def keep_batch(self, key: str, record: str, *, now: float, until: float) -> bool:
        """See `BatchVerbs`."""

        def verb(connection: sqlite3.Connection) -> bool:
            for statement in _FORGET:
                connection.execute(statement, (now - GRACE,))
            return connection.execute(_KEEP, (encoded(key), encoded(record), until, now)).rowcount > 0

        return self._with_tables(now, verb)

    def name_batch(self, key: str, names: Collection[str], *, now: float) -> None:
        """See `BatchVerbs`."""
        rows = [(encoded(name), encoded(key)) for name in names]
        self._with_tables(now, lambda connection: connection.executemany(_NAME, rows))

    def find_batch(self, name: str, *, now: float) -> KeptBatch | None:
        """See `BatchVerbs`."""

        def verb(connection: sqlite3.Connection) -> KeptBatch | None:
            row = connection.execute(_FIND, (encoded(name), encoded(name), now - GRACE)).fetchone()
            return _shown(row) if row is not None else None

        return self._with_tables(None, verb)

    def open_batches(self, *, now: float) -> Sequence[KeptBatch]:
        """See `BatchVerbs`."""
        return self._with_tables(None, lambda connection: list(map(_shown, connection.execute(_OPEN, (now,)))))

    def count_lines(
        self, key: str, claims: Sequence[Claim], lines: Mapping[str, Amounts], *, now: float
    ) -> LinesCounted:
        """See `BatchVerbs`."""
        name = encoded(key)
        marks = {line: line_mark(line) for line in lines}
        for amounts in lines.values():
            checked(amounts)

        def verb(connection: sqlite3.Connection) -> LinesCounted:
            if not connection.execute(_IS_OPEN, (name, now - GRACE)).fetchone():
                return NONE_COUNTED
            new = frozenset(line for line in lines if connection.execute(_LINE, (name, marks[line])).rowcount > 0)
            if not new:
                return NONE_COUNTED
            amounts = total(lines, new)
            connection.execute(_SUM, (len(new), amounts["nano_usd"], name))
            return LinesCounted(new, self._spend(connection, claims, amounts, now))

        return self._with_tables(now, verb)

    def close_batch(self, key: str, *, now: float) -> bool:
        """See `BatchVerbs`."""
        name = encoded(key)

        def verb(connection: sqlite3.Connection) -> bool:
            closed = connection.execute(_CLOSE, (name, now - GRACE)).rowcount > 0
            if closed:
                connection.execute("DELETE FROM batch_lines WHERE key = ?", (name,))
            return closed

        return self._with_tables(now, verb)

    def _with_tables(self, now: float | None, verb: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a verb in a transaction, with the tables: a file may be older, or a new one in the place of another."""

        def prepared(connection: sqlite3.Connection) -> _T:
            for statement in _TABLES:
                connection.execute(statement)
            return verb(connection)

        return self._transact(now, prepared)


def _shown(row: tuple[bytes, bytes, int, int, int]) -> KeptBatch:
    key, record, is_open, lines, nano_usd = row
    return KeptBatch(key=_text(key), record=_text(record), open=bool(is_open), lines=lines, nano_usd=nano_usd)


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
