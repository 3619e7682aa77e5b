"""What Honeycomb is asked: the questions of the board, the calculated columns, the triggers. Everything is a span's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from grafana.alerts.thresholds import Thresholds
from otel_agentcost.core import semconv

Query: TypeAlias = dict[str, Any]
"""A query specification, as Honeycomb's API writes it."""

_DAY: Final = 86_400
_HOUR: Final = 3_600
_QUARTER: Final = 900
TRACE: Final = "trace.trace_id"
PARENT: Final = "trace.parent_id"
NAME: Final = "name"
"""The name of a span, and of an event on a span, which is a row of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that Honeycomb calculates of others, for each row."""

    alias: str
    expression: str
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query of the board."""

    key: str
    title: str
    answers: str
    query: Query
    style: str = "combo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """An alert: the one figure of its query, above a number."""

    key: str
    title: str
    says: str
    query: Query
    above: float
    every: int = _QUARTER


_FAILED: Final = Column(
    alias="agentcost.calc.failed_usd",
    expression=f"IF(EXISTS(${semconv.ERROR_TYPE}), COALESCE(${semconv.COST}, 0), 0)",
    means="Dollars of a call that failed, and 0 of any other.",
)
_FRESH: Final = Column(
    alias="agentcost.calc.fresh_input_tokens",
    expression=f"SUB(SUB(${semconv.INPUT_TOKENS}, COALESCE(${semconv.CACHE_READ_TOKENS}, 0)), "
    f"COALESCE(${semconv.CACHE_WRITE_TOKENS}, 0))",
    means="Input tokens that were neither read from nor written to a cache.",
)
_HIT_SHARE: Final = Column(
    alias="agentcost.calc.cache_hit_share",
    expression=f"IF(GT(${semconv.INPUT_TOKENS}, 0), "
    f"DIV(COALESCE(${semconv.CACHE_READ_TOKENS}, 0), ${semconv.INPUT_TOKENS}))",
    means="The share of a call's input tokens that were read from a cache.",
)
_PRICED: Final = Column(
    alias="agentcost.calc.priced",
    expression=f'IF(EXISTS(${semconv.UNPRICED}), "not, or not wholly", EXISTS(${semconv.COST}), "priced", "no call")',
    means="Whether the dollars of a call are known.",
)
COLUMNS: Final = (_FAILED, _FRESH, _HIT_SHARE, _PRICED)


def _figure(op: str, column: str | None = None) -> dict[str, Any]:
    return {"op": op} if column is None else {"op": op, "column": column}


def _where(column: str, op: str = "exists") -> dict[str, Any]:
    return {"column": column, "op": op}


_COUNT: Final = _figure("COUNT")
_SPENT: Final = _figure("SUM", semconv.COST)
_CALLS: Final = _where(semconv.COST)


def _query(*figures: dict[str, Any], seconds: int = _DAY, where: tuple[dict[str, Any], ...], by: str = "") -> Query:
    """`by` for a trigger, which has groups and no order."""
    query: Query = {"calculations": list(figures), "time_range": seconds, "filters": list(where)}
    return {**query, "breakdowns": [by]} if by else query


def _top(*figures: dict[str, Any], where: dict[str, Any], by: tuple[str, ...]) -> Query:
    """Groups, the largest first figure first."""
    found = _query(*figures, where=(where,))
    return {**found, "breakdowns": list(by), "orders": [{**figures[0], "order": "descending"}], "limit": 100}


def _event(name: str) -> dict[str, Any]:
    return {**_where(NAME, "="), "value": name}


def _dollars_by(what: str, column: str) -> Question:
    return Question(
        key=f"dollars_by_{what}",
        title=f"Dollars by {what}",
        answers=f"The sum of `{semconv.COST}` over calls, by `{column}`.",
        query=_top(_SPENT, _COUNT, where=_CALLS, by=(column,)),
    )


def _events(key: str, title: str, name: str, *by: str) -> Question:
    return Question(
        key=key,
        title=title,
        answers=f"How many events `{name}` there are on calls' spans.",
        query=_top(_COUNT, where=_event(name), by=by),
    )


_MONEY: Final = (
    Question(
        key="dollars",
        title="Dollars",
        answers=f"The sum of `{semconv.COST}` over calls of models and tools. Totals on roots and agents are left out: "
        "they contain the same dollars.",
        query=_query(_SPENT, _figure("SUM", _FAILED.alias), where=(_CALLS,)),
        style="graph",
    ),
    _dollars_by("model", semconv.REQUEST_MODEL),
    _dollars_by("agent", semconv.AGENT),
    _dollars_by("user", semconv.USER),
    _dollars_by("team", semconv.TEAM),
    _dollars_by("feature", semconv.FEATURE),
    Question(
        key="runs",
        title="The dearest runs",
        answers=f"The sum of `{semconv.COST}` of each trace. Click on one to see its calls.",
        query=_top(_SPENT, _COUNT, where=_CALLS, by=(TRACE,)),
        style="table",
    ),
    Question(
        key="run_cost",
        title="What a run costs",
        answers=f"Percentiles of `{semconv.TRACE_COST}` over roots of traces.",
        query=_query(
            *(_figure(op, semconv.TRACE_COST) for op in ("P50", "P90", "P99")),
            where=(_where(PARENT, "does-not-exist"), _where(semconv.TRACE_COST)),
        ),
        style="graph",
    ),
)
_TROUBLE: Final = (
    Question(
        key="unpriced",
        title="Calls without a price",
        answers=f"Calls that have `{semconv.UNPRICED}`, by the reason: their dollars are missing, or not whole.",
        query=_top(_COUNT, where=_where(semconv.UNPRICED), by=(semconv.UNPRICED, semconv.REQUEST_MODEL)),
        style="table",
    ),
    _events("loops", "Loops", semconv.E_LOOP, semconv.LOOP_RULE, semconv.TOOL),
    Question(
        key="loop_waste",
        title="Dollars wasted in loops",
        answers=f"The largest `{semconv.LOOP_WASTED}` of each trace: what it spent since its loop's first round.",
        query=_top(_figure("MAX", semconv.LOOP_WASTED), where=_where(semconv.LOOP_WASTED), by=(TRACE,)),
        style="table",
    ),
    _events("refusals", "Calls that budgets refused", semconv.E_BUDGET_EXCEEDED, semconv.BUDGET, semconv.BUDGET_ACTION),
    _events("soft_limits", "Budgets at their soft limit", semconv.E_SOFT_LIMIT, semconv.BUDGET),
)
_TOKENS: Final = (
    Question(
        key="cache_savings",
        title="Dollars saved by caches",
        answers=f"The sum of `{semconv.CACHE_SAVINGS}`, and the mean share of input that came from a cache.",
        query=_top(
            _figure("SUM", semconv.CACHE_SAVINGS),
            _figure("AVG", _HIT_SHARE.alias),
            where=_where(semconv.INPUT_TOKENS),
            by=(semconv.REQUEST_MODEL,),
        ),
    ),
    Question(
        key="tokens",
        title="Tokens",
        answers="Input that no cache took part in, read from a cache, written to it; output, and reasoning within it.",
        query=_query(
            _figure("SUM", _FRESH.alias),
            _figure("SUM", semconv.CACHE_READ_TOKENS),
            _figure("SUM", semconv.CACHE_WRITE_TOKENS),
            _figure("SUM", semconv.OUTPUT_TOKENS),
            _figure("SUM", semconv.REASONING_TOKENS),
            where=(_CALLS,),
        ),
        style="graph",
    ),
)
QUESTIONS: Final = (*_MONEY, *_TROUBLE, *_TOKENS)


def triggers(limits: Thresholds) -> tuple[Trigger, ...]:
    """The alerts. A query looks back at most four times as far as its trigger waits."""
    budget = semconv.BUDGET
    return (
        Trigger(
            key="day",
            title="A day has cost too much",
            says="Dollars of all calls of the last 24 hours.",
            query=_query(_SPENT, where=(_CALLS,)),
            above=limits.day_usd,
            every=_DAY // 4,
        ),
        Trigger(
            key="run",
            title="A run has cost too much",
            says="Dollars of one trace in the last hour.",
            query=_query(_SPENT, seconds=_HOUR, where=(_CALLS,), by=TRACE),
            above=limits.run_usd,
        ),
        Trigger(
            key="unpriced",
            title="Calls without a price",
            says="Their dollars are in no sum. The reason is on their spans.",
            query=_query(_COUNT, seconds=2 * _QUARTER, where=(_where(semconv.UNPRICED),), by=semconv.REQUEST_MODEL),
            above=limits.unpriced_calls,
        ),
        Trigger(
            key="loop_storm",
            title="A loop storm",
            says="Loops that were found in a quarter of an hour.",
            query=_query(_COUNT, seconds=_QUARTER, where=(_event(semconv.E_LOOP),)),
            above=limits.loops,
        ),
        Trigger(
            key="budget_soft",
            title="A budget is at its soft limit",
            says="80 % of it, unless its rule says otherwise.",
            query=_query(_COUNT, seconds=_QUARTER, where=(_event(semconv.E_SOFT_LIMIT),), by=budget),
            above=0.0,
        ),
        Trigger(
            key="budget_full",
            title="A budget is used up",
            says="It refuses calls, or warns of each.",
            query=_query(_COUNT, seconds=_QUARTER, where=(_event(semconv.E_BUDGET_EXCEEDED),), by=budget),
            above=0.0,
        ),
    )
