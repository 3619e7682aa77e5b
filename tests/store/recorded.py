"""Short words for tests of the spend store: a store, what is in it, and settled calls without an SDK."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from opentelemetry.trace import INVALID_SPAN

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.store.questions import Question, Spend
from otel_agentcost.store.single_calls import Names, Recorded
from otel_agentcost.store.sources.sqlite import SqliteSource
from otel_agentcost.store.writer import Writer
from otel_agentcost.telemetry.receiver import Settled

NO_SPAN = INVALID_SPAN


def url_of(path: Path) -> str:
    """The URL of a store."""
    return f"sqlite:///{path}"


def writer_of(path: Path, **more: Any) -> Writer:
    """A writer whose dropped rows nobody counts."""
    return Writer(url_of(path), "book of today", more.pop("dropped", lambda _rows: None), **more)


def rows(path: Path, sql: str = "SELECT * FROM call c JOIN dims d ON d.id = c.dims ORDER BY c.id") -> list[Any]:
    """The rows of a query, by the names of their columns."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def spend(path: Path, *by: str, **more: Any) -> Spend:
    """The answer of the store."""
    source = SqliteSource(path)
    try:
        return source.spend(Question(by=by, **more))
    finally:
        source.close()


def nano(path: Path) -> int:
    """The billionths of a dollar in the rows of calls."""
    return int(rows(path, "SELECT ifnull(sum(nusd), 0) AS nusd FROM call")[0]["nusd"])


def a_call(
    usd: Decimal | None = Decimal("0.001"),
    *,
    who: Mapping[str, str] | None = None,
    model: str = "gpt-4o-mini",
    counts: Mapping[Any, Any] | None = None,
    messages: Sequence[Any] = ("Hi",),
    trace: int = 7,
    unpriced: str | None = None,
) -> Settled:
    """A settled model call."""
    usage = Usage(counts=counts if counts is not None else {"input_tokens": 100, "output_tokens": 50})
    body = {"model": model, "messages": [{"role": "user", "content": text} for text in messages]}
    return Settled(
        names=("chat", "openai", model, f"{model}-2024-07-18"),
        who=who if who is not None else {semconv.AGENT: "bees", semconv.USER: "u1"},
        trace_id=trace,
        span_id=3,
        run=None,
        tokens=usage.tokens(),
        cost=Cost(usd=usd, price=f"openai/{model}" if usd is not None else None, unpriced=unpriced),
        error=None,
        seconds=0.25,
        calls=1,
        resolves=0,
        tool=None,
        call=Call(operation="chat", model=model, body=body),
        answer=Answer(usage=usage, model=f"{model}-2024-07-18", finish_reasons=("stop",)),
    )


def a_record(
    *,
    at: float,
    nusd: int | None,
    counts: Mapping[Any, Any],
    terms: Mapping[str, str] | None = None,
    extra: Sequence[tuple[str | None, Mapping[str, Any], Mapping[str, str]]] = (),
    **names: Any,
) -> Recorded:
    """A call as it is read from a store, without a store."""
    given = {"operation": "chat", "source": "list", **names}
    row = Recorded(
        number=1,
        at=at,
        names=Names(**{**dict.fromkeys(Names._fields, ""), **given}),
        calls=1,
        nusd=nusd,
        tokens=None,
        units=None,
        stop="stop",
        conversation="",
        trace="",
        base=None,
        segments=None,
    )
    return changed(row, counts=counts, terms=terms or {}, extra=extra)


def changed(row: Recorded, **more: Any) -> Recorded:
    """A recorded call with other fields or names."""
    if "terms" in more:
        more["terms"] = ",".join(f"{name}={value}" for name, value in more["terms"].items())
    if "counts" in more:
        counts, extra = more.pop("counts"), more.pop("extra", ())
        plain = {"units": dict(counts), "extra": [list(each) for each in extra]}
        more |= {"units": json.dumps(plain, default=str) if counts or extra else None}
        more |= {"tokens": Usage(counts=counts).tokens() if counts else None}
    names = {name: more.pop(name) for name in list(more) if name in Names._fields}
    return row._replace(names=row.names._replace(**names), **more)
