"""The deletion of single calls that are too old, which no wrong clock may cause."""

from __future__ import annotations

import sqlite3
from typing import Final, Literal

from otel_agentcost.diagnostics import warn_once

_DAY: Final = 86_400

_AT_ONCE: Final = 5_000
"""Rows that one deletion takes at most."""

_GAP: Final = 7
"""Days without a call after which the clock may have jumped."""

_ENOUGH: Final = 7
"""Days with calls after such a gap that show that the clock is right."""

_LAST_BEFORE: Final = "SELECT max(at) FROM {0} WHERE at < ?"
_OLDEST: Final = "SELECT min(at) FROM {0}"
_PRUNE: Final = "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} WHERE at < ? ORDER BY at LIMIT ?)"
_DAYS: Final = "SELECT DISTINCT hour / 24 FROM hour WHERE hour >= ? AND hour <= ? ORDER BY 1 DESC"

_KEPT: Final = (
    f"otel-agentcost: the spend store has no call of more than {_GAP} days, so the clock may have jumped. Single calls "
    f"from before are kept until calls of {_ENOUGH} days are recorded after them."
)


def prune(connection: sqlite3.Connection, table: Literal["call", "event"], now: float, days: int) -> None:
    """Delete rows that are too old.

    A clock can jump, and rows that it deletes are lost. After two days without a row, the days are counted back from
    the last row before: from a time that was recorded, not from one that the clock alone knows. After more than a week
    without a call, they are counted back from before it until calls of seven days are recorded after it, so that a
    clock that stays wrong for days deletes nothing.

    Args:
        connection: The store, within a transaction.
        table: The table.
        now: The present time, in seconds since the epoch.
        days: How long rows are kept.
    """
    last = connection.execute(_LAST_BEFORE.format(table), (int((now - _DAY) * 1000),)).fetchone()[0]
    if last is None:
        return
    trusted = now if last / 1000 >= now - 2 * _DAY else last / 1000
    oldest = connection.execute(_OLDEST.format(table)).fetchone()[0]
    if oldest / 1000 >= trusted - days * _DAY:
        return
    sure = _sure(connection, oldest / 1000, now)
    if sure is not None and sure < trusted:
        warn_once(f"spend store: a gap after {sure:.0f}", _KEPT)
        trusted = sure
    connection.execute(_PRUNE.format(table), (int((trusted - days * _DAY) * 1000), _AT_ONCE))


def _sure(connection: sqlite3.Connection, oldest: float, now: float) -> float | None:
    """Return the end of the last day before a gap after which the clock may be wrong; None if there is none."""
    sure: float | None = None
    seen, newer = 0, 0
    for (day,) in connection.execute(_DAYS, (int(oldest // 3600), int(now // 3600))):
        if newer and newer - day > _GAP:
            sure, seen = float((day + 1) * _DAY), 0
        newer, seen = day, seen + 1
        if seen >= _ENOUGH:
            break
    return sure
