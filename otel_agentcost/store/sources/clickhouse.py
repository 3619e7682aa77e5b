"""Answers from ClickHouse: from the table of spans that the Collector's `clickhouse` exporter writes.

The server adds up; what comes back is one row for each line of the answer (and each quarter of an hour, where days or
hours are asked for: which day it is in a time zone is decided here, as for every other source).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from otel_agentcost.errors import AgentCostError
from otel_agentcost.store import span_rows, span_sql
from otel_agentcost.store.questions import TIMES, Question, Spend, Sums
from otel_agentcost.store.remote import RemoteError, UnclearAddress, parse_url, post
from otel_agentcost.store.rows import Event, Row
from otel_agentcost.store.single_spans import SingleSpans
from otel_agentcost.store.span_rows import SpanRow
from otel_agentcost.store.summing import Summing

__all__ = ["ClickHouse", "ClickHouseError", "open_source"]

_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)


class ClickHouseError(AgentCostError):
    """The server cannot be reached, or does not answer. The text is one sentence."""


def open_source(url: str) -> ClickHouse:
    """Return the source that `url` names.

    Args:
        url: `clickhouse://user:password@host:8123/database?table=otel_traces&secure=true`; all but the host may be
            left out. The port is that of HTTP.

    Raises:
        UnclearAddress: The URL cannot be understood.
    """
    address = parse_url(url, "ClickHouse", _ALLOWED, (8123, 8443), ("table",))
    table = address.options.get("table", "otel_traces")
    if not _NAME.fullmatch(table):
        raise UnclearAddress(
            f"The address of ClickHouse cannot be understood ({table!r:.40} is no table): write {_ALLOWED}."
        )
    database = address.path or "default"
    path = f"?{urlencode({'database': database})}"
    ask = partial(
        post, address._replace(user=address.user or "default"), path, content_type="text/plain; charset=utf-8"
    )
    return ClickHouse(ask, table, f"{address.host}/{database}")


_ALLOWED: Final = "clickhouse://user:password@host:8123/database?table=otel_traces&secure=true"


class ClickHouse(SingleSpans):
    """Implements `Detailed`. It writes nothing."""

    def __init__(self, ask: Callable[[str], str], table: str, where: str) -> None:
        """Create the source.

        Args:
            ask: Returns the answer to a query as text. Raises `RemoteError`.
            table: The table of spans.
            where: The server and the database, for people.
        """
        super().__init__(self._single)
        self._ask = ask
        self._table = table
        self._where = where

    def spend(self, question: Question) -> Spend:
        """See `Source`.

        Raises:
            UnclearQuestion: Spans do not have a grouping.
            ClickHouseError: There is no such table, or no answer.
        """
        span_rows.check(question.by, question.session)
        self._check_table()
        plain = [name for name in question.by if name not in TIMES]
        timed = len(plain) < len(question.by)
        summing = Summing(question)
        for slot, *rest in self._rows(span_sql.statement(self._table, question, plain, timed=timed)):
            keys = dict(zip(plain, map(str, rest[: len(plain)]), strict=True))
            reason, *sums = rest[len(plain) :]
            summing.add(int(slot) * span_sql.SLOT, keys, Sums(*map(int, sums)), reason)
        return summing.spend()

    def _single(self, question: Question) -> Iterator[Row | Event]:
        """Yield the calls of a period, page by page, and the loops that were found in them."""
        self._check_table()
        after: tuple[int, str, str] | None = None
        while True:
            page = list(self._rows(span_sql.single_calls(self._table, question, after)))
            for values in page:
                found = dict(zip(span_sql.SINGLE, values, strict=True))
                keys = {name: str(found[f"key_{name}"]) for name in span_sql.KEYS}
                row = SpanRow(keys, Sums(*(int(found[name]) for name in Sums._fields)))
                at, seconds = int(found["ends"]) / 1e9, int(found["nanoseconds"]) / 1e9
                attributes = {name: value for name, value in found["attributes"].items() if value}
                yield span_rows.call_of(row, at, found["span"], seconds, attributes)
                after = int(found["ends"]), found["trace"], found["span"]
            if len(page) < span_sql.PAGE:
                break
        for at, attributes in self._rows(span_sql.loops(self._table, question)):
            yield span_rows.loop_of(int(at) / 1e9, attributes)

    def _check_table(self) -> None:
        """Raise `ClickHouseError` if the table is not that of the exporter, with attributes as maps of texts."""
        columns = {str(name): str(kind) for name, kind, *_ in self._rows(f"DESCRIBE TABLE {self._table}")}
        kind = columns.get("SpanAttributes", "")
        if kind.startswith("JSON"):
            raise ClickHouseError(
                f"The table {self._table} of ClickHouse at {self._where} has attributes as JSON, which is not read "
                "here: let the exporter write its default schema."
            )
        missing = [name for name in span_sql.COLUMNS if name not in columns]
        if missing or not kind.startswith("Map("):
            raise ClickHouseError(
                f"The table {self._table} of ClickHouse at {self._where} is not that of the Collector's clickhouse "
                f"exporter ({', '.join(missing) or 'SpanAttributes'}): name it with ?table=otel_traces."
            )

    def _rows(self, sql: str) -> Iterator[list[Any]]:
        try:
            lines = self._ask(f"{sql} FORMAT JSONCompactEachRow").splitlines()
            yield from map(json.loads, lines)
        except RemoteError as error:
            raise ClickHouseError(
                f"ClickHouse at {self._where} does not answer the question ({error!s:.300})."
            ) from error
        except ValueError as error:
            raise ClickHouseError(
                f"What answers at {self._where} is not ClickHouse, or broke off ({error!s:.80})."
            ) from error
