"""The single calls of a store, one after the other: for questions that sums cannot answer.

A price that is applied again, or a provider's bill, is compared call by call. Only a store in SQLite has single calls,
for as long as `OTEL_AGENTCOST_RECORD_DAYS` says.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from otel_agentcost.core.usage import Count, Tokens
from otel_agentcost.store import schema
from otel_agentcost.store.periods import UnclearPeriod
from otel_agentcost.store.questions import UnclearQuestion
from otel_agentcost.store.rows import counts_of
from otel_agentcost.store.schema import StoreError

_WORDS: Final = (
    "provider",
    "requested",
    "served",
    "operation",
    "price",
    "book",
    "terms",
    "source",
    "unpriced",
    "error",
    "agent",
    "feature",
    "tool",
)
_SQL: Final = (
    f"SELECT {', '.join(f'd.{name}' for name in _WORDS)}, c.at, c.calls, c.nusd, c.input, c.output, c.cache_read, "  # noqa: S608 - constants
    "c.cache_write, c.reasoning, c.units, c.request FROM call c JOIN dims d ON d.id = c.dims "
    "WHERE c.at >= ? AND c.at < ? ORDER BY c.id"
)
_FOREVER: Final = 1 << 62


class Part(NamedTuple):
    """Tokens of another model within a call, or of another attempt."""

    model: str | None
    counts: Mapping[str, Count]
    terms: Mapping[str, str]


class Recorded(NamedTuple):
    """One row of a store."""

    at: float
    """The time of the settlement, in seconds since the epoch."""
    provider: str
    requested: str
    served: str
    operation: str
    price: str
    """The price key; empty if no list of prices was used."""
    book: str
    terms: Mapping[str, str]
    source: str
    """`list`, `estimated` or `provider`; empty without dollars."""
    unpriced: str
    error: str
    agent: str
    feature: str
    tool: str
    calls: int
    nusd: int | None
    counts: Mapping[str, Count]
    """The disjoint counts by kind; empty if the row has no tokens."""
    extra: Sequence[Part]
    request: bytes | None
    """The fingerprint of the request, which includes the name of its model."""

    @property
    def model(self) -> str:
        """The model that served the call, else the requested one."""
        return self.served or self.requested


def recorded_calls(url: str, since: float | None, until: float | None) -> Iterator[Recorded]:
    """Yield the rows of a period in their order. Memory does not grow with their number.

    Args:
        url: The store, such as `sqlite:////path/to/file`.
        since: The first second of the period; None for all that is kept.
        until: The first second after it.

    Raises:
        StoreError: The store cannot be read.
        UnclearQuestion: The source has no single calls.
        UnclearPeriod: Single calls of the period are deleted, and only the sums of their hours are kept.
    """
    if not url.lower().startswith("sqlite:"):
        raise UnclearQuestion(f"{url!r:.120} has no single calls: name a store such as sqlite:////path/to/file.")
    path = schema.parse_url(url).path
    connection = schema.open_for_reading(path)
    try:
        _check_age(connection, since, until)
        begins = -_FOREVER if since is None else round(since * 1000)
        ends = _FOREVER if until is None else round(until * 1000)
        for row in connection.execute(_SQL, (begins, ends)):
            yield _read(row)
    except sqlite3.Error as error:
        raise StoreError(f"The store {path} cannot be read ({error}).") from error
    finally:
        connection.close()


def _check_age(connection: sqlite3.Connection, since: float | None, until: float | None) -> None:
    first = connection.execute("SELECT min(at) FROM call").fetchone()[0]
    hour = connection.execute(
        "SELECT min(hour) FROM hour WHERE hour >= ? AND hour < ?",
        (-_FOREVER if since is None else since // 3600, _FOREVER if until is None else until / 3600),
    ).fetchone()[0]
    if hour is None or (first is not None and hour * 3600 >= first // 1000 - 3600):
        return
    kept = "no single call is kept" if first is None else f"single calls are kept since {_day(first / 1000)}"
    raise UnclearPeriod(
        f"The store has only the sums of hours since {_day(hour * 3600)}, and {kept}: begin later, or set "
        "OTEL_AGENTCOST_RECORD_DAYS higher for the future."
    )


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _read(row: Sequence[Any]) -> Recorded:
    words: dict[str, Any] = dict(zip(_WORDS, row, strict=False))
    words["terms"] = terms_of(words["terms"])
    at, calls, nusd, *numbers, units, request = row[len(_WORDS) :]
    tokens = Tokens(*(number or 0 for number in numbers))
    known = units is not None or any(number is not None for number in numbers)
    return Recorded(
        **words,
        at=at / 1000,
        calls=calls,
        nusd=nusd,
        counts=counts_of(tokens, units) if known else {},
        extra=_extra(units),
        request=request,
    )


def terms_of(written: str) -> dict[str, str]:
    """Return terms that a store has as text, such as `processing=batch,service_tier=flex`."""
    pairs = (each.partition("=") for each in written.split(",") if each)
    return {name: value for name, _, value in pairs}


def _extra(units: str | None) -> tuple[Part, ...]:
    if units is None or '"extra"' not in units:
        return ()
    found = json.loads(units).get("extra", ())
    return tuple(
        Part(model, counts_of(Tokens(), json.dumps({"units": counts})), dict(terms)) for model, counts, terms in found
    )
