"""The deletion of single calls that are too old, which no wrong clock may cause."""

from __future__ import annotations

import sqlite3
from typing import Final, Literal

_DAY: Final = 86_400

_AT_ONCE: Final = 5_000
"""Rows that one deletion takes at most."""

_LAST_BEFORE: Final = "SELECT max(at) FROM {0} WHERE at < ?"
_PRUNE: Final = "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} WHERE at < ? ORDER BY at LIMIT ?)"


def prune(connection: sqlite3.Connection, table: Literal["call", "event"], now: float, days: int) -> None:
    """Delete rows that are too old.

    A clock can jump, and rows that it deletes are lost. After two days without a row, the days are counted back from
    the last row before: from a time that was recorded, not from one that the clock alone knows.

    Args:
        connection: The store, within a transaction.
        table: The table.
        now: The present time, in seconds since the epoch.
        days: How long rows are kept.
    """
    last = connection.execute(_LAST_BEFORE.format(table), (int((now - _DAY) * 1000),)).fetchone()[0]
    if last is not None:
        trusted = now if last / 1000 >= now - 2 * _DAY else last / 1000
        connection.execute(_PRUNE.format(table), (int((trusted - days * _DAY) * 1000), _AT_ONCE))
