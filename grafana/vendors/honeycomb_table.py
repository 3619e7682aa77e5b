"""What the board for Honeycomb shows, what its triggers watch, and the columns that are worked out of ours."""

from __future__ import annotations

from typing import Final

from grafana.vendors.honeycomb_query import DAY, HOUR, Calculation, Column, Filter, Panel, Query, Trigger
from grafana.vendors.limits import BUDGET_FULL, BUDGET_SOFT, DAY_USD, LOOPS, RUN_USD, UNPRICED
from otel_agentcost import names

TRACE: Final = "trace.trace_id"
PARENT: Final = "trace.parent_id"
EVENT: Final = "name"
"""Events of spans are rows of their own in Honeycomb, under the event's name."""

MODEL: Final = Column(
    "model",
    "agentcost.model",
    f"COALESCE(${names.RESPONSE_MODEL}, ${names.REQUEST_MODEL})",
    "The model that answered, or else the one that was asked.",
)
FAILED: Final = Column(
    "failed_usd",
    "agentcost.failed_usd",
    f"IF(EXISTS(${names.ERROR_TYPE}), ${names.COST})",
    "Dollars of calls that failed.",
)
CACHED: Final = Column(
    "cached_share",
    "agentcost.cached_share",
    f"DIV(${names.CACHE_READ_TOKENS}, ${names.INPUT_TOKENS})",
    "Share of a call's input that was read from a cache.",
)
COLUMNS: Final = (MODEL, FAILED, CACHED)

_SPENT: Final = Calculation("SUM", names.COST)
_HOW_MANY: Final = Calculation("COUNT")
_PRICED: Final = (Filter(names.COST),)
_EACH_ONCE: Final = f"Sum of `{names.COST}` of the spans of model and tool calls; sums on agents and roots are others."


def _by(name: str, title: str, column: str) -> Panel:
    query = Query(calculations=(_SPENT, _HOW_MANY), filters=(Filter(names.COST), Filter(column)), by=(column,), limit=20)
    return Panel(name=name, title=title, means=f"{_EACH_ONCE} By `{column}`.", query=query, style="combo")


def _events(event: str, *by: str, seconds: int = DAY, limit: int | None = None) -> Query:
    chosen = (Filter(EVENT, "=", event),)
    return Query(calculations=(_HOW_MANY,), filters=chosen, by=by, seconds=seconds, limit=limit)


_MONEY: Final = (
    Panel(
        name="spend",
        title="Dollars",
        means=_EACH_ONCE,
        query=Query(calculations=(_SPENT,), filters=_PRICED),
        chart="tsbar",
    ),
    Panel(
        name="spend_by_model",
        title="Dollars by model",
        means=f"{_EACH_ONCE} By the model that answered.",
        query=Query(calculations=(_SPENT, _HOW_MANY), filters=_PRICED, by=(names.PROVIDER, MODEL.alias), limit=20),
        style="combo",
        chart="stacked",
    ),
    _by("spend_by_agent", "Dollars by agent", names.AGENT),
    _by("spend_by_user", "Dollars by user", names.USER),
    _by("spend_by_team", "Dollars by team", names.TEAM),
    _by("spend_by_feature", "Dollars by feature", names.FEATURE),
)
_RUNS: Final = (
    Panel(
        name="dearest_runs",
        title="The dearest runs",
        means=f"{_EACH_ONCE} By trace: a row leads to the run.",
        query=Query(calculations=(_SPENT, _HOW_MANY), filters=_PRICED, by=(TRACE,), limit=25),
        style="table",
    ),
    Panel(
        name="run_cost",
        title="Dollars a run",
        means=f"`{names.TRACE_COST}` on roots, which the Python package and the Collector's gateway.yaml write.",
        query=Query(
            calculations=tuple(Calculation(op, names.TRACE_COST) for op in ("HEATMAP", "P50", "P90", "P99")),
            filters=(Filter(names.TRACE_COST), Filter(PARENT, "does-not-exist")),
        ),
    ),
)
_TOKENS: Final = (
    Panel(
        name="tokens",
        title="Tokens by model",
        means="Input with what was read from or written to caches; output with reasoning; and both parts by themselves.",
        query=Query(
            calculations=tuple(
                Calculation("SUM", column)
                for column in (names.INPUT_TOKENS, names.OUTPUT_TOKENS, names.CACHE_READ_TOKENS, names.REASONING_TOKENS)
            ),
            filters=(Filter(names.INPUT_TOKENS),),
            by=(MODEL.alias,),
            limit=20,
        ),
        style="combo",
    ),
    Panel(
        name="cache_savings",
        title="Saved by caches",
        means=f"Sum of `{names.CACHE_SAVINGS}`, and the mean share of a call's input that came from a cache.",
        query=Query(
            calculations=(Calculation("SUM", names.CACHE_SAVINGS), Calculation("AVG", CACHED.alias)),
            filters=(Filter(names.INPUT_TOKENS),),
            by=(MODEL.alias,),
            limit=20,
        ),
        style="combo",
    ),
)
_TROUBLE: Final = (
    Panel(
        name="unpriced",
        title="Calls without a price",
        means=f"Their dollars are missing above: `{names.UNPRICED}` says why.",
        query=Query(
            calculations=(_HOW_MANY,),
            filters=(Filter(names.UNPRICED),),
            by=(names.PROVIDER, MODEL.alias, names.UNPRICED),
            limit=20,
        ),
        style="combo",
    ),
    Panel(
        name="failed",
        title="Dollars of calls that failed",
        means="They were charged for, and brought nothing.",
        query=Query(
            calculations=(Calculation("SUM", FAILED.alias), _HOW_MANY),
            filters=(Filter(names.ERROR_TYPE), Filter(names.COST)),
            by=(names.ERROR_TYPE,),
            limit=20,
        ),
        style="combo",
    ),
    Panel(
        name="budget_refusals",
        title="Budgets that were used up",
        means=f"Events `{names.E_BUDGET_EXCEEDED}` by budget and by what was done: the call refused, or warned about.",
        query=_events(names.E_BUDGET_EXCEEDED, names.BUDGET, names.BUDGET_ACTION, limit=20),
        style="combo",
    ),
    Panel(
        name="loops",
        title="Loops",
        means=f"Events `{names.E_LOOP}` by rule and tool, of applications with the Python package.",
        query=_events(names.E_LOOP, names.LOOP_RULE, names.TOOL, limit=20),
        style="combo",
    ),
    Panel(
        name="budgets",
        title="How far budgets are used",
        means=f"The metric `{names.M_UTILIZATION}`: 1 is all of a budget.",
        query=Query(
            calculations=(Calculation("MAX", names.M_UTILIZATION),),
            filters=(Filter(names.M_UTILIZATION),),
            by=(names.BUDGET, names.BUDGET_SCOPE),
            limit=20,
        ),
        style="combo",
        width=12,
        metrics=True,
    ),
)
PANELS: Final = (*_MONEY, *_RUNS, *_TOKENS, *_TROUBLE)


def _budget(name: str, title: str, means: str, *, full: bool) -> Trigger:
    query = Query(
        calculations=(Calculation("MAX", names.M_UTILIZATION),),
        filters=(Filter(names.M_UTILIZATION),),
        by=(names.BUDGET, names.BUDGET_SCOPE),
        seconds=900,
    )
    limit = BUDGET_FULL if full else BUDGET_SOFT
    return Trigger(name=name, title=title, means=means, query=query, limit=limit, op=">=", every=300, metrics=True)


TRIGGERS: Final = (
    Trigger(
        name="day",
        title="agentcost: dollars of a day",
        means="The last 24 hours cost more than they may. Looked at every 6 hours, the most often that is allowed.",
        query=Query(calculations=(_SPENT,), filters=_PRICED, seconds=DAY),
        limit=DAY_USD,
        every=DAY // 4,
    ),
    Trigger(
        name="run",
        title="agentcost: a run is too dear",
        means="One trace cost more in the last hour than a run may.",
        query=Query(calculations=(_SPENT,), filters=_PRICED, by=(TRACE,), seconds=HOUR),
        limit=RUN_USD,
    ),
    Trigger(
        name="unpriced",
        title="agentcost: calls without a price",
        means="Dollars are missing: a model has no price, or its usage is not known.",
        query=Query(
            calculations=(_HOW_MANY,),
            filters=(Filter(names.UNPRICED),),
            by=(names.PROVIDER, names.UNPRICED),
            seconds=1800,
        ),
        limit=UNPRICED,
    ),
    Trigger(
        name="loop_storm",
        title="agentcost: many loops",
        means="Agents repeat themselves: more loops in a quarter of an hour than is usual.",
        query=_events(names.E_LOOP, names.LOOP_RULE, seconds=900),
        limit=LOOPS,
        every=300,
    ),
    _budget("budget_soft", "agentcost: a budget is nearly used up", "A budget has come to its soft limit.", full=False),
    _budget("budget_full", "agentcost: a budget is used up", "Its calls are refused, or go on at your word.", full=True),
)

FILTERS: Final = {
    "service.name": "Service",
    "deployment.environment.name": "Environment",
    names.PROVIDER: "Provider",
    names.AGENT: "Agent",
    names.TEAM: "Team",
}
"""What the board can be narrowed to; Honeycomb allows five."""

TITLE: Final = "agentcost: what AI agents cost"
MEANS: Final = (
    f"Dollars are `{names.COST}` on spans, put there by otel-agentcost in the application or in the Collector; Honeycomb "
    "adds them up. Where spans are sampled, these are sums of what was kept."
)
