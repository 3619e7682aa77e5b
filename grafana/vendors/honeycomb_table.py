"""Queries of the Honeycomb board, calculated fields and triggers, all based on spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from grafana.alerts.thresholds import Thresholds
from otel_agentcost.core import semconv

Query: TypeAlias = dict[str, Any]
"""A query specification of Honeycomb's API."""

_DAY: Final = 86_400
_HOUR: Final = 3_600
_QUARTER: Final = 900
TRACE: Final = "trace.trace_id"
PARENT: Final = "trace.parent_id"
NAME: Final = "name"
"""The name of a span, or of a span event, which is a row of its metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A field that Honeycomb calculates for each row."""

    alias: str
    expression: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query of the board."""

    key: str
    title: str
    description: str
    query: Query
    style: str = "combo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """An alert: it fires when the only value of its query exceeds a number."""

    key: str
    title: str
    description: str
    query: Query
    threshold: float
    frequency: int = _QUARTER


_FAILED: Final = Column(
    alias="agentcost.calc.failed_usd",
    expression=f"IF(EXISTS(${semconv.ERROR_TYPE}), COALESCE(${semconv.COST}, 0), 0)",
    description="Cost of a failed call; 0 for other calls.",
)
_FRESH: Final = Column(
    alias="agentcost.calc.fresh_input_tokens",
    expression=f"SUB(SUB(${semconv.INPUT_TOKENS}, COALESCE(${semconv.CACHE_READ_TOKENS}, 0)), "
    f"COALESCE(${semconv.CACHE_WRITE_TOKENS}, 0))",
    description="Input tokens that were neither read from nor written to a cache.",
)
_HIT_SHARE: Final = Column(
    alias="agentcost.calc.cache_hit_share",
    expression=f"IF(GT(${semconv.INPUT_TOKENS}, 0), "
    f"DIV(COALESCE(${semconv.CACHE_READ_TOKENS}, 0), ${semconv.INPUT_TOKENS}))",
    description="Share of a call's input tokens that were read from a cache.",
)
_PRICED: Final = Column(
    alias="agentcost.calc.priced",
    expression=f'IF(EXISTS(${semconv.UNPRICED}), "not fully priced", EXISTS(${semconv.COST}), "priced", "no call")',
    description="Shows if the cost of a call is known.",
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
    """Return a query; `by` is for triggers, which have groups but no order."""
    query: Query = {"calculations": list(figures), "time_range": seconds, "filters": list(where)}
    return {**query, "breakdowns": [by]} if by else query


def _top(*figures: dict[str, Any], where: dict[str, Any], by: tuple[str, ...]) -> Query:
    """Return a query of groups, sorted by the first figure in descending order."""
    query = _query(*figures, where=(where,))
    return {**query, "breakdowns": list(by), "orders": [{**figures[0], "order": "descending"}], "limit": 100}


def _event(name: str) -> dict[str, Any]:
    return {**_where(NAME, "="), "value": name}


def _cost_by(what: str, column: str) -> Question:
    return Question(
        key=f"dollars_by_{what}",
        title=f"Cost by {what}",
        description=f"The sum of `{semconv.COST}` over calls, by `{column}`.",
        query=_top(_SPENT, _COUNT, where=_CALLS, by=(column,)),
    )


def _events(key: str, title: str, name: str, *by: str) -> Question:
    return Question(
        key=key,
        title=title,
        description=f"Number of events `{name}` on the spans of calls.",
        query=_top(_COUNT, where=_event(name), by=by),
    )


_MONEY: Final = (
    Question(
        key="dollars",
        title="Cost",
        description=f"The sum of `{semconv.COST}` over model and tool calls. Totals on root spans and agents are "
        "excluded: they contain the same cost.",
        query=_query(_SPENT, _figure("SUM", _FAILED.alias), where=(_CALLS,)),
        style="graph",
    ),
    _cost_by("model", semconv.REQUEST_MODEL),
    _cost_by("agent", semconv.AGENT),
    _cost_by("user", semconv.USER),
    _cost_by("team", semconv.TEAM),
    _cost_by("feature", semconv.FEATURE),
    Question(
        key="runs",
        title="Most expensive runs",
        description=f"The sum of `{semconv.COST}` of each trace. Click a trace to see its calls.",
        query=_top(_SPENT, _COUNT, where=_CALLS, by=(TRACE,)),
        style="table",
    ),
    Question(
        key="run_cost",
        title="Cost of a run",
        description=f"Percentiles of `{semconv.TRACE_COST}` over root spans of traces.",
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
        description=f"Calls with `{semconv.UNPRICED}`, by reason: their cost is missing or incomplete.",
        query=_top(_COUNT, where=_where(semconv.UNPRICED), by=(semconv.UNPRICED, semconv.REQUEST_MODEL)),
        style="table",
    ),
    _events("loops", "Loops", semconv.E_LOOP, semconv.LOOP_RULE, semconv.TOOL),
    Question(
        key="loop_waste",
        title="Cost of loops",
        description=f"The largest `{semconv.LOOP_WASTED}` of each trace: the cost after the first round of its loop.",
        query=_top(_figure("MAX", semconv.LOOP_WASTED), where=_where(semconv.LOOP_WASTED), by=(TRACE,)),
        style="table",
    ),
    _events("refusals", "Calls that budgets refused", semconv.E_BUDGET_EXCEEDED, semconv.BUDGET, semconv.BUDGET_ACTION),
    _events("soft_limits", "Budgets at their soft limit", semconv.E_SOFT_LIMIT, semconv.BUDGET),
)
_TOKENS: Final = (
    Question(
        key="cache_savings",
        title="Savings by caches",
        description=f"The sum of `{semconv.CACHE_SAVINGS}`, and the mean share of input from a cache.",
        query=_top(
            _figure("SUM", semconv.CACHE_SAVINGS),
            _figure("AVG", _HIT_SHARE.alias),
            where=_CALLS,  # a call may have a second span with tokens, of the provider's server, but without dollars
            by=(semconv.REQUEST_MODEL,),
        ),
    ),
    Question(
        key="tokens",
        title="Tokens",
        description="Input without a cache, read from a cache and written to it; output, and its part of reasoning.",
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
    """Return the triggers. Honeycomb limits the time range of a query to four times the frequency of its trigger."""
    budget = semconv.BUDGET
    return (
        Trigger(
            key="day",
            title="High cost of a day",
            description="Cost of all calls in the last 24 hours.",
            query=_query(_SPENT, where=(_CALLS,)),
            threshold=limits.day_usd,
            frequency=_DAY // 4,
        ),
        Trigger(
            key="run",
            title="High cost of a run",
            description="Cost of one trace in the last hour.",
            query=_query(_SPENT, seconds=_HOUR, where=(_CALLS,), by=TRACE),
            threshold=limits.run_usd,
        ),
        Trigger(
            key="unpriced",
            title="Calls without a price",
            description="Their cost is missing in all sums. Their spans have the reason.",
            query=_query(_COUNT, seconds=2 * _QUARTER, where=(_where(semconv.UNPRICED),), by=semconv.REQUEST_MODEL),
            threshold=limits.unpriced_calls,
        ),
        Trigger(
            key="loop_storm",
            title="Loop storm",
            description="Loops detected in 15 minutes.",
            query=_query(_COUNT, seconds=_QUARTER, where=(_event(semconv.E_LOOP),)),
            threshold=limits.loops,
        ),
        Trigger(
            key="budget_soft",
            title="Budget at its soft limit",
            description="The default soft limit is 80 %.",
            query=_query(_COUNT, seconds=_QUARTER, where=(_event(semconv.E_SOFT_LIMIT),), by=budget),
            threshold=0.0,
        ),
        Trigger(
            key="budget_full",
            title="Budget used up",
            description="The budget refuses calls or warns about each.",
            query=_query(_COUNT, seconds=_QUARTER, where=(_event(semconv.E_BUDGET_EXCEEDED),), by=budget),
            threshold=0.0,
        ),
    )
