"""The accounts in the file of a SQLite ledger: read, opened and spent from within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import add, sub
from typing import NamedTuple

from otel_agentcost.guard.ledger import GRACE, UNITS, Amounts, Claim, Standing, encoded, ends
from otel_agentcost.guard.ledger import _sqlite_slices as slices

_SPENT = ", ".join(UNITS)
_HELD = ", ".join(f"held_{unit}" for unit in UNITS)

_OPEN = """
INSERT INTO accounts (key, until) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)
"""
_EXPIRED = f"""
SELECT {", ".join(f"coalesce(sum({unit}), 0)" for unit in UNITS)} FROM holds WHERE key = ? AND expires <= ?
"""  # noqa: S608 - constants


class Row(NamedTuple):
    """An account in the file."""

    until: float
    counts: Sequence[int]
    """What is spent, and then what is held, of each unit."""

    def seen(self, view: slices.View) -> Row:
        """Return the account of a rolling window with what a clock sees of its spend."""
        return Row(self.until, (*view.spent, *self.counts[len(UNITS) :]))

    def has_room(self, claim: Claim, amounts: Amounts) -> bool:
        """Return True if `amounts` fit into what the claim's limits leave."""
        counts = self.counts
        for unit, limit in claim.limits.items():
            place = _PLACES[unit]
            if counts[place] + counts[place + len(UNITS)] + amounts.get(unit, 0) > limit:
                return False
        return True

    def without(self, held: Sequence[int]) -> Row:
        """Return the account with so much less held."""
        return Row(self.until, (*self.counts[: len(UNITS)], *map(sub, self.counts[len(UNITS) :], held)))

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


def rows_of(
    connection: sqlite3.Connection, keys: Collection[bytes], now: float, rolling: Collection[bytes] = ()
) -> dict[bytes, Row]:
    """Return the accounts with these keys. Those that have ended are deleted and left out, but for rolling windows."""
    rows: dict[bytes, Row] = {}
    ended: list[tuple[bytes]] = []
    for key, until, *counts in connection.execute(for_keys(len(keys)).rows, tuple(keys)):
        if until <= now - GRACE and key not in rolling:
            ended.append((key,))
        else:
            rows[key] = Row(until, counts)
    if ended:
        connection.executemany("DELETE FROM accounts WHERE key = ?", ended)
    return rows


def look(connection: sqlite3.Connection, key: bytes, now: float) -> Standing:
    """Return the standing of a key, and change nothing: the clock of the process that looks may be ahead."""
    row = dict(_rows(connection, [key])).get(key, NEW)
    seen = slices.view(connection, key, now, look=True)
    if seen is not None:
        row = row.seen(seen)
    elif row.until <= now - GRACE:
        row = row.seen(slices.NOTHING)
    expired = connection.execute(_EXPIRED, (key, now)).fetchone()
    return row.without(expired).standing()


def settled(
    connection: sqlite3.Connection, claims: Iterable[Claim], keys: Collection[bytes], now: float
) -> dict[bytes, Row]:
    """Return the accounts with these keys, those of `claims`, after they were settled before."""
    rows = {key: row if row.until > now - GRACE else row.seen(slices.NOTHING) for key, row in _rows(connection, keys)}
    return with_views(rows, slices.views(connection, slices.rolling_keys(claims), now))


def with_views(rows: Mapping[bytes, Row], views: Mapping[bytes, slices.View]) -> dict[bytes, Row]:
    """Return accounts with what a clock sees of those of rolling windows."""
    return {**rows, **{key: rows.get(key, NEW).seen(view) for key, view in views.items()}}


def _rows(connection: sqlite3.Connection, keys: Collection[bytes]) -> list[tuple[bytes, Row]]:
    found = connection.execute(for_keys(len(keys)).rows, tuple(keys))
    return [(key, Row(until, counts)) for key, until, *counts in found]


def spend(
    connection: sqlite3.Connection, claims: Iterable[Claim], keys: Collection[bytes], counts: Sequence[int], now: float
) -> dict[bytes, Row]:
    """Add `counts` to the accounts with these keys, those of `claims`. Returns the accounts afterwards."""
    rolling = slices.rolling_keys(claims)
    rows = rows_of(connection, keys, now, rolling)
    open_accounts(connection, claims, rows, 0.0)
    if rolling:
        connection.executemany(_OPEN, list(slices.spend(connection, rolling, counts, now)))
    others = [key for key in keys if key not in rolling]
    connection.execute(for_keys(len(others)).spend, (*counts, *others))
    after = {key: rows.get(key, NEW).with_spent(counts) for key in keys}
    return with_views(after, slices.views(connection, rolling, now)) if rolling else after


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
