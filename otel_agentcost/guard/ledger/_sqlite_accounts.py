"""The accounts in the file of a SQLite ledger: read, opened and spent from within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import add
from typing import NamedTuple

from otel_agentcost.guard.ledger import GRACE, UNITS, Amounts, Claim, Standing, encoded, ends
from otel_agentcost.guard.ledger import _sqlite_slices as slices

_SPENT = ", ".join(UNITS)
_HELD = ", ".join(f"held_{unit}" for unit in UNITS)

_OPEN = """
INSERT INTO accounts (key, until) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)
"""


class Row(NamedTuple):
    """An account in the file."""

    until: float
    counts: Sequence[int]
    """What is spent, and then what is held, of each unit."""

    def has_room(self, claim: Claim, amounts: Amounts) -> bool:
        """Return True if `amounts` fit into what the claim's limits leave."""
        counts = self.counts
        for unit, limit in claim.limits.items():
            place = _PLACES[unit]
            if counts[place] + counts[place + len(UNITS)] + amounts.get(unit, 0) > limit:
                return False
        return True

    def standing(self) -> Standing:
        """Return the amounts by unit."""
        held = self.counts[len(UNITS) :]
        return Standing(dict(zip(UNITS, self.counts, strict=False)), dict(zip(UNITS, held, strict=True)))

    def with_spent(self, counts: Sequence[int]) -> Row:
        """Return the account with so much more spent. It does not fall below 0."""
        spent = map(max, map(add, self.counts, counts), _ZEROS)
        return Row(self.until, (*spent, *self.counts[len(UNITS) :]))


_PLACES = {unit: place for place, unit in enumerate(UNITS)}
_ZEROS = (0,) * len(UNITS)
NEW = Row(0.0, (0,) * (2 * len(UNITS)))
"""The account of an unknown key."""


class _ForKeys(NamedTuple):
    """Statements about several accounts."""

    rows: str
    spend: str
    hold: str


@lru_cache(maxsize=64)
def for_keys(number: int) -> _ForKeys:
    """Return the statements about so many accounts."""
    which = f"WHERE key IN ({', '.join('?' * number)})"
    held = f"({', '.join('?' * (3 + len(UNITS)))})"
    spent = ", ".join(f"{unit} = max(0, {unit} + ?)" for unit in UNITS)
    return _ForKeys(
        rows=f"SELECT key, until, {_SPENT}, {_HELD} FROM accounts {which}",  # noqa: S608 - constants
        spend=f"UPDATE accounts SET {spent} {which}",  # noqa: S608 - constants
        hold=f"INSERT OR IGNORE INTO holds (call_id, key, expires, {_SPENT}) VALUES {', '.join([held] * number)}",  # noqa: S608 - constants
    )


def rows_of(connection: sqlite3.Connection, keys: Collection[bytes], now: float) -> dict[bytes, Row]:
    """Return the accounts with these keys. Those that have ended are deleted and left out."""
    rows: dict[bytes, Row] = {}
    ended: list[tuple[bytes]] = []
    for key, until, *counts in connection.execute(for_keys(len(keys)).rows, tuple(keys)):
        if until <= now - GRACE:
            ended.append((key,))
        else:
            rows[key] = Row(until, counts)
    if ended:
        connection.executemany("DELETE FROM accounts WHERE key = ?", ended)
    return rows


def spend(
    connection: sqlite3.Connection, claims: Iterable[Claim], keys: Collection[bytes], counts: Sequence[int], now: float
) -> dict[bytes, Row]:
    """Add `counts` to the accounts with these keys, those of `claims`. Returns the accounts afterwards."""
    rolling = slices.rolling_keys(claims)
    if rolling:
        slices.age(connection, rolling, now)
    rows = rows_of(connection, keys, now)
    open_accounts(connection, claims, rows, 0.0)
    if rolling:
        connection.executemany(_OPEN, list(slices.spend(connection, rolling, counts, now)))
    connection.execute(for_keys(len(keys)).spend, (*counts, *keys))
    return {key: rows.get(key, NEW).with_spent(counts) for key in keys}


def standings(claims: Sequence[Claim], rows: Mapping[bytes, Row]) -> Sequence[tuple[Claim, Standing]]:
    """Return each claim with the standing of its account."""
    return [(claim, rows.get(encoded(claim.key), NEW).standing()) for claim in claims]


def open_accounts(
    connection: sqlite3.Connection, claims: Iterable[Claim], rows: Mapping[bytes, Row], expires: float
) -> None:
    """Create or extend the account of each claim, so that it is kept long enough."""
    late = [
        (key, until)
        for claim in claims
        if (until := max(ends(claim), expires)) > rows.get(key := encoded(claim.key), NEW).until
    ]
    if late:
        connection.executemany(_OPEN, late)
