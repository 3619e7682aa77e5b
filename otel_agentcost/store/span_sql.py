"""The rules of `store.span_rows` in the SQL of ClickHouse, over the table of the Collector's `clickhouse` exporter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_agentcost.core import aliases, money, semconv
from otel_agentcost.store import span_rows
from otel_agentcost.store.questions import Question, Sums

COLUMNS: Final = ("Timestamp", "Duration", "TraceId", "SpanId", "ScopeName", "SpanAttributes", "Links.TraceId")
"""The columns that are read."""

SLOT: Final = 900
"""Seconds: hours and days of every time zone begin at such times."""

PAGE: Final = 20_000
"""Single calls of one query."""

_END: Final = "(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration))"

_LONGEST: Final = 7 * 86_400
"""Seconds that a call lasts at most. The table is sorted by the starts of spans, and a call counts at its end."""


def statement(table: str, question: Question, keys: Sequence[str], *, timed: bool) -> str:
    """Return the query for a question.

    Args:
        table: The table of spans.
        question: The question.
        keys: Its groupings without those of time.
        timed: True if it has a grouping of time.
    """
    slot = f"intDiv({_END}, {SLOT * 10**9})" if timed else "0"
    columns = [f"{sql} AS {name}" for name, sql in _VALUES.items()]
    # A batch that the exporter sends again is there twice.
    inner = (
        f"SELECT {slot} AS slot, {', '.join(columns)} FROM {table} "  # noqa: S608 - constants, and a checked name
        f"WHERE {' AND '.join([*_period(question), _COUNTED])} LIMIT 1 BY TraceId, SpanId"
    )
    chosen = ", ".join(("slot", *(f"key_{name}" for name in keys), "key_unpriced"))
    sums = ", ".join(f"toString(sum({name}))" for name in Sums._fields)
    return f"SELECT {chosen}, {sums} FROM ({inner}) GROUP BY {chosen}"  # noqa: S608 - the same


def single_calls(table: str, question: Question, after: tuple[int, str, str] | None) -> str:
    """Return the query for a page of single calls: the columns of `SINGLE`, in the order of time.

    Args:
        table: The table of spans.
        question: The question, of which the period matters.
        after: The end, the trace and the span of the last call of the page before; None for the first page.
    """
    period = _period(question)
    if after is not None:
        ends, trace, span = after
        period.append(f"({_END}, TraceId, SpanId) > ({ends}, {trace!r}, {span!r})")
    columns = [f"{sql} AS {name}" for name, sql in {**_VALUES, **_OF_SPAN}.items()]
    inner = (
        f"SELECT {', '.join(columns)} FROM {table} "  # noqa: S608 - constants, and a checked name
        f"WHERE {' AND '.join([*period, _COUNTED])} ORDER BY ends, trace, span LIMIT 1 BY trace, span LIMIT {PAGE}"
    )
    return f"SELECT {', '.join(SINGLE)} FROM ({inner}) ORDER BY ends, trace, span"  # noqa: S608 - the same


def loops(table: str, question: Question) -> str:
    """Return the query for the loops that were found in a period: their times in nanoseconds, and their attributes."""
    where = " AND ".join([*_period(question), f"has(Events.Name, '{semconv.E_LOOP}')"])
    inner = (
        "SELECT Events.Timestamp AS times, Events.Name AS names, Events.Attributes AS maps "  # noqa: S608 - constants
        f"FROM {table} WHERE {where} LIMIT 1 BY TraceId, SpanId"
    )
    return (
        "SELECT toString(toUnixTimestamp64Nano(at)), attributes "  # noqa: S608 - the same
        f"FROM ({inner}) ARRAY JOIN times AS at, names AS name, maps AS attributes WHERE name = '{semconv.E_LOOP}'"
    )


def _period(question: Question) -> list[str]:
    """Return the conditions of a period."""
    period: list[str] = []
    if question.since is not None:
        period.append(f"{_END} >= {round(question.since * 1e9)}")
        period.append(f"Timestamp >= fromUnixTimestamp64Nano({round((question.since - _LONGEST) * 1e9)})")
    if question.until is not None:
        nanoseconds = round(question.until * 1e9)
        period += [f"{_END} < {nanoseconds}", f"Timestamp < fromUnixTimestamp64Nano({nanoseconds})"]
    return period


def _attribute(name: str) -> str:
    return f"SpanAttributes['{name}']"


def _has(name: str) -> str:
    return f"mapContains(SpanAttributes, '{name}')"


def _is_in(sql: str, values: Sequence[str]) -> str:
    return f"{sql} IN ({', '.join(repr(value) for value in values)})"


def _number(name: str, default: int) -> str:
    return f"ifNull(toInt64OrNull({_attribute(name)}), {default})"


_OPERATION: Final = _attribute(semconv.OPERATION)
_ERROR: Final = _attribute(semconv.ERROR_TYPE)
_SCOPE: Final = "ScopeName"
_OWN: Final = f"startsWith({_SCOPE}, '{span_rows.OWN}')"
_TOOL: Final = (
    f"({_OPERATION} = '{semconv.EXECUTE_TOOL}'"
    + "".join(f" OR {_attribute(kind)} = '{value}'" for kind, value in span_rows.TOOL_KINDS)
    + ")"
)
_COUNTED: Final = (
    f"NOT {_has(semconv.CHARGED_UPSTREAM)} AND NOT {_has(semconv.DUPLICATE)} "
    f"AND NOT {_is_in(_OPERATION, sorted(semconv.AGENT_OPERATIONS))} AND ({_TOOL} OR {_has(semconv.COST)} "
    f"OR {_has(semconv.UNPRICED)} OR {_has(semconv.CALLS)} "
    f"OR ({_OWN} AND {_OPERATION} != '' AND {_ERROR} != '' AND NOT startsWith({_ERROR}, '{span_rows.OWN}.')) "
    f"OR (NOT {_OWN} AND {_is_in(_OPERATION, span_rows.CALLS)} AND NOT {_has(semconv.WATCHED)}))"
)
_GIVEN: Final = f"toDecimal256OrNull({_attribute(semconv.COST)}, 30)"
_SAVED: Final = f"toDecimal256OrNull({_attribute(semconv.CACHE_SAVINGS)}, 30)"
_NANO: Final = f"toInt64(ceil({{0}} * {money.NANO_PER_USD}))"  # rounded up, as in `money.to_nano`
_USD: Final = f"if(ifNull({_GIVEN} >= 0 AND {_GIVEN} < {money.MOST}, 0), {_GIVEN}, NULL)"
_UNPRICED: Final = _attribute(semconv.UNPRICED)
_REASON: Final = (
    f"multiIf({_UNPRICED} != '', {_UNPRICED}, {_has(semconv.COST)} AND usd IS NULL, '{span_rows.NO_AMOUNT}', "
    f"{_has(semconv.COST)} OR {_has(semconv.ERROR_TYPE)} OR {_has(semconv.CALLS)} OR {_OWN} OR is_tool, '', "
    f"'{span_rows.NOT_PRICED}')"
)


def _first(names: Sequence[str], default: str) -> str:
    """Return the SQL of the first of these attributes that is not empty."""
    found = ", ".join(f"nullIf({_attribute(name)}, '')" for name in names)
    return f"coalesce({found}, '{default}')"


def _of_model(sql: str) -> str:
    return f"if(is_tool, '', {sql})"


_KEYS: Final = {
    **{name: _attribute(attribute) for name, attribute in span_rows.WHO.items()},
    **{name: _of_model(_attribute(attribute)) for name, attribute in span_rows.MODEL.items()},
    "operation": f"if(is_tool, '{semconv.EXECUTE_TOOL}', {_OPERATION})",
    "model": _of_model(_first((semconv.RESPONSE_MODEL, semconv.REQUEST_MODEL), "")),
    "tool": f"if(is_tool, {_first(aliases.TOOL_NAME, '(no name)')}, '')",
    "price": _attribute(semconv.PRICE),
    "source": (
        f"multiIf(usd IS NULL, '', {_attribute(semconv.COST_SOURCE)} = 'provider', 'provider', "
        f"{_attribute(semconv.ESTIMATED)} = 'true', 'estimated', 'list')"
    ),
    "unpriced": _REASON,
    "error": _ERROR,
    "trace": (
        f"if(calls = 0 AND NOT is_tool AND NOT {_has(semconv.BATCH_LINES)} AND notEmpty(Links.TraceId), "
        "Links.TraceId[1], TraceId)"
    ),
}
"""The groupings, without those of time, and the SQL of their values."""

_VALUES: Final = {
    "is_tool": _TOOL,
    "usd": _USD,
    "calls": f"if(is_tool, 0, {_number(semconv.CALLS, 1)})",
    **{f"key_{name}": sql for name, sql in _KEYS.items()},
    "tools": "toInt64(is_tool)",
    "priced": "toInt64(usd IS NOT NULL)",
    "unpriced": f"toInt64(key_unpriced != '') - {_number(semconv.RESOLVES, 0)}",
    "nusd": f"ifNull({_NANO.format('usd')}, 0)",
    **{name: f"if(is_tool, 0, {_number(attribute, 0)})" for name, attribute in span_rows.TOKENS.items()},
    "saved": f"ifNull({_NANO.format(_SAVED)}, 0)",
}
"""What each span is, and adds: names of columns and their SQL, which may use the names before it."""

KEYS: Final = tuple(_KEYS)
"""The groupings, without those of time."""

_NAMED: Final = (semconv.FINISH_REASONS, semconv.OPENAI_RESPONSE_TIER, semconv.RESOLVES, semconv.BATCH_LINES)
_OF_SPAN: Final = {
    "ends": _END,
    "trace": "TraceId",
    "span": "SpanId",
    "nanoseconds": "Duration",
    "attributes": f"mapFilter((name, value) -> {_is_in('name', _NAMED)}, SpanAttributes)",
}

SINGLE: Final = (*_OF_SPAN, *(f"key_{name}" for name in KEYS), *Sums._fields)
"""The columns of `single_calls`."""
