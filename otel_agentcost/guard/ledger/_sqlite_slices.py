"""The slices of rolling windows in the ledger in a file: two tables, which each connection creates if they are missing.

So an older file gets them, and a process of an older version can go on using it: it has no budgets with rolling
windows, and the triggers work for it too. What an account of a rolling window has spent is in its slices alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from otel_agentcost.guard.ledger import (
    UNITS,
    Claim,
    Refusal,
    encoded,
    free_again,
    freed,
    outdated,
    slice_to_spend,
)

_SPENT: Final = ", ".join(UNITS)
_COLUMNS: Final = ", ".join(f"{unit} INTEGER NOT NULL" for unit in UNITS)
_PLUS: Final = ", ".join(f"{unit} = {unit} + excluded.{unit}" for unit in UNITS)

TABLES: Final = (
    f"""
CREATE TABLE IF NOT EXISTS slices (
    key BLOB NOT NULL, ends INTEGER NOT NULL, rolling INTEGER NOT NULL, {_COLUMNS}, PRIMARY KEY (key, ends)
) WITHOUT ROWID
""",
    "CREATE TABLE IF NOT EXISTS behind (key BLOB PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID",
    """
CREATE TRIGGER IF NOT EXISTS drop_slices AFTER DELETE ON accounts BEGIN
    DELETE FROM slices WHERE key = OLD.key;
END
""",
    """
CREATE TRIGGER IF NOT EXISTS drop_behind AFTER DELETE ON accounts BEGIN
    DELETE FROM behind WHERE key = OLD.key;
END
""",
)
_SLICES: Final = f"SELECT ends, rolling, {_SPENT} FROM slices WHERE key = ? ORDER BY ends"  # noqa: S608 - constants
_SINCE: Final = "SELECT since FROM behind WHERE key = ?"
_BEHIND: Final = "INSERT OR IGNORE INTO behind (key, since) VALUES (?, ?)"
_NOT_BEHIND: Final = "DELETE FROM behind WHERE key = ?"
_DROP: Final = "DELETE FROM slices WHERE key = ? AND ends = ?"
_ADD: Final = f"""
INSERT INTO slices (key, ends, rolling, {_SPENT}) VALUES (?, ?, ?, {", ".join("?" * len(UNITS))})
ON CONFLICT (key, ends) DO UPDATE SET {_PLUS}
"""  # noqa: S608 - constants
_TAKE: Final = f"UPDATE slices SET {', '.join(f'{unit} = ?' for unit in UNITS)} WHERE key = ? AND ends = ?"  # noqa: S608 - constants


def rolling_keys(claims: Iterable[Claim]) -> dict[bytes, int]:
    """Return the keys with a rolling window, each with its seconds. Usually there are none."""
    return {encoded(claim.key): claim.rolling for claim in claims if claim.rolling is not None}


class View(NamedTuple):
    """The part of a rolling window that a clock sees."""

    slices: Mapping[int, Sequence[int]]
    """The amounts in the slices that count, in the order of the units. The oldest first."""
    times: Mapping[int, float]
    """When each is freed."""
    ends: Sequence[int]
    """The ends of all slices."""

    @property
    def spent(self) -> list[int]:
        """The amounts that count, in the order of the units."""
        return [sum(column) for column in zip([0] * len(UNITS), *self.slices.values(), strict=True)]


def view(connection: sqlite3.Connection, key: bytes, now: float, *, look: bool = False) -> View | None:
    """Return what a clock sees of a key; None for a key without a rolling window.

    Args:
        connection: The connection, in a transaction.
        key: The key.
        now: Epoch seconds.
        look: True to change nothing. Otherwise it is noted if the clock is far behind (`freed`).

    """
    found = {row[0]: row[1:] for row in connection.execute(_SLICES, (key,))}
    if not found:
        return None
    (before,) = connection.execute(_SINCE, (key,)).fetchone() or (None,)
    rolling = next(iter(found.values()))[0]
    times, behind = freed(rolling, found, before, now)
    if behind != before and not look:
        if behind is None:
            connection.execute(_NOT_BEHIND, (key,))
        else:
            connection.execute(_BEHIND, (key, behind))
    return View({end: amounts[1:] for end, amounts in found.items() if end in times}, times, list(found))


NOTHING: Final = View({}, {}, ())


def views(connection: sqlite3.Connection, keys: Iterable[bytes], now: float) -> dict[bytes, View]:
    """Return what a clock sees of keys with a rolling window."""
    return {key: view(connection, key, now) or NOTHING for key in keys}


def spend(
    connection: sqlite3.Connection, rolling: Mapping[bytes, int], counts: Sequence[int], now: float
) -> Iterator[tuple[bytes, float]]:
    """Note in the slices what is being spent, and yield until when each account must be kept.

    Args:
        connection: The connection, in a transaction.
        rolling: The keys, as `rolling_keys` returns them.
        counts: The amounts in the order of the units.
        now: Epoch seconds.

    """
    for key, window in rolling.items():
        seen = view(connection, key, now) or NOTHING
        end = slice_to_spend(window, seen.ends, now)
        connection.execute(_ADD, (key, end, window, *(max(0, count) for count in counts)))
        old = outdated({*seen.ends, end}, {*seen.times, end})
        if old:
            connection.executemany(_DROP, [(key, each) for each in old])
        if min(counts) < 0:
            _take(connection, key, [max(0, -count) for count in counts], now)
        yield key, float(end + window)


def _take(connection: sqlite3.Connection, key: bytes, amounts: Sequence[int], now: float) -> None:
    """Take amounts out of the slices of a key that count, the oldest first, as far as there is so much."""
    left = list(amounts)
    seen = view(connection, key, now) or NOTHING
    for end, counts in seen.slices.items():
        taken = list(map(min, left, counts))
        if any(taken):
            connection.execute(_TAKE, (*(count - take for count, take in zip(counts, taken, strict=True)), key, end))
            left = [amount - take for amount, take in zip(left, taken, strict=True)]


def with_time(refusal: Refusal, seen: View | None) -> Refusal:
    """Return a refusal with the time at which enough is free again, if its window is a rolling one."""
    if seen is None:
        return refusal
    at = UNITS.index(refusal.unit)
    return replace(
        refusal, free_at=free_again(refusal, [(seen.times[end], counts[at]) for end, counts in seen.slices.items()])
    )
