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
from otel_agentcost.store.remote import RemoteError, parse_url, post
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
        ClickHouseError: The URL cannot be understood.
    """
    try:
        address = parse_url(url, 8123, 8443)
    except ValueError as error:
        raise ClickHouseError(f"The address of ClickHouse cannot be understood ({error}): {_ALLOWED}.") from error
    table = address.options.pop("table", "otel_traces")
    if address.options or not _NAME.fullmatch(table):
        raise ClickHouseError(f"The address of ClickHouse cannot be understood: {_ALLOWED}.")
    database = address.path or "default"
    path = f"?{urlencode({'database': database})}"
    ask = partial(
        post, address._replace(user=address.user or "default"), path, content_type="text/plain; charset=utf-8"
    )
    return ClickHouse(ask, table, f"{address.host}/{database}")


_ALLOWED: Final = "write clickhouse://user:password@host:8123/database?table=otel_traces&secure=true"


class ClickHouse:
    """Implements `Source`. It writes nothing."""

    def __init__(self, ask: Callable[[str], str], table: str, where: str) -> None:
        """Create the source.

        Args:
            ask: Returns the answer to a query as text. Raises `RemoteError`.
            table: The table of spans.
            where: The server and the database, for people.
        """
        self._ask = ask
        self._table = table
        self._where = where

    def close(self) -> None:
        """See `Source`."""

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
