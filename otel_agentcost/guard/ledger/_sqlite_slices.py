"""The slices of rolling windows in the ledger in a file: one table, and triggers that keep the accounts right.

Each connection creates them if they are missing, so an older file gets them, and a process of an older version can go
on using it: it has no budgets with rolling windows, and the triggers work for it too. An account of a rolling window is
always the sum of its slices.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from otel_agentcost.guard.ledger import UNITS, Claim, Refusal, encoded, free_again, slice_end

_SPENT: Final = ", ".join(UNITS)
_COLUMNS: Final = ", ".join(f"{unit} INTEGER NOT NULL" for unit in UNITS)
_MINUS: Final = ", ".join(f"{unit} = max(0, {unit} - OLD.{unit})" for unit in UNITS)
_PLUS: Final = ", ".join(f"{unit} = {unit} + excluded.{unit}" for unit in UNITS)

TABLES: Final = (
    f"""
CREATE TABLE IF NOT EXISTS slices (
    key BLOB NOT NULL, ends INTEGER NOT NULL, rolling INTEGER NOT NULL, {_COLUMNS}, PRIMARY KEY (key, ends)
) WITHOUT ROWID
""",
    f"""
CREATE TRIGGER IF NOT EXISTS drop_slice AFTER DELETE ON slices BEGIN
    UPDATE accounts SET {_MINUS} WHERE key = OLD.key;
END
""",  # noqa: S608 - constants
    """
CREATE TRIGGER IF NOT EXISTS drop_slices AFTER DELETE ON accounts BEGIN
    DELETE FROM slices WHERE key = OLD.key;
END
""",
)
_AGE: Final = "DELETE FROM slices WHERE key = ? AND ends <= ? - rolling"
_LATEST: Final = "SELECT max(ends) FROM slices WHERE key = ?"
_SLICES: Final = f"SELECT ends, {_SPENT} FROM slices WHERE key = ? ORDER BY ends"  # noqa: S608 - constants
_ADD: Final = f"""
INSERT INTO slices (key, ends, rolling, {_SPENT}) VALUES (?, ?, ?, {", ".join("?" * len(UNITS))})
ON CONFLICT (key, ends) DO UPDATE SET {_PLUS}
"""  # noqa: S608 - constants
_TAKE: Final = f"UPDATE slices SET {', '.join(f'{unit} = ?' for unit in UNITS)} WHERE key = ? AND ends = ?"  # noqa: S608 - constants


def rolling_keys(claims: Iterable[Claim]) -> dict[bytes, int]:
    """Return the keys with a rolling window, each with its seconds. Usually there are none."""
    return {encoded(claim.key): claim.rolling for claim in claims if claim.rolling is not None}


def age(connection: sqlite3.Connection, keys: Iterable[bytes], now: float) -> None:
    """Drop the slices of `keys` that are older than their window, and their spend."""
    connection.executemany(_AGE, [(key, now) for key in keys])


def spend(
    connection: sqlite3.Connection, rolling: Mapping[bytes, int], counts: Sequence[int], now: float
) -> Iterator[tuple[bytes, float]]:
    """Note in the slices what is being spent in the accounts, and yield until when each account must be kept.

    Args:
        connection: The connection, in a transaction.
        rolling: The keys, as `rolling_keys` returns them. Their old slices are dropped.
        counts: The amounts in the order of the units.
        now: Epoch seconds.

    """
    for key, window in rolling.items():
        (latest,) = connection.execute(_LATEST, (key,)).fetchone()
        end = max(slice_end(window, now), latest or 0)  # where a clock has gone back, there is a later one
        connection.execute(_ADD, (key, end, window, *(max(0, count) for count in counts)))
        if min(counts) < 0:
            _take(connection, key, [max(0, -count) for count in counts])
        yield key, float(end + window)


def _take(connection: sqlite3.Connection, key: bytes, amounts: Sequence[int]) -> None:
    """Take amounts out of the slices of a key, the oldest first, as far as there is so much."""
    left = list(amounts)
    for end, *counts in connection.execute(_SLICES, (key,)).fetchall():
        taken = list(map(min, left, counts))
        if any(taken):
            connection.execute(_TAKE, (*(count - take for count, take in zip(counts, taken, strict=True)), key, end))
            left = [amount - take for amount, take in zip(left, taken, strict=True)]


def with_time(connection: sqlite3.Connection, refusal: Refusal, rolling: Mapping[bytes, int]) -> Refusal:
    """Return a refusal with the time at which enough is free again, if its window is a rolling one."""
    key = encoded(refusal.key)
    if (window := rolling.get(key)) is None:
        return refusal
    at = 1 + UNITS.index(refusal.unit)
    slices = ((row[0], row[at]) for row in connection.execute(_SLICES, (key,)))
    return replace(refusal, free_at=free_again(refusal, window, slices))
