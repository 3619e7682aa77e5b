"""The board of runs: cost of a run, its distribution and drift, and the most expensive runs."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.boards.board import Board, Row, number
from grafana.boards.panels import (
    COUNT,
    GREEN,
    ORANGE,
    RED,
    SHARE,
    USD,
    YELLOW,
    Query,
    described,
    graph,
    heatmap,
    painted,
    stat,
)
from grafana.boards.queries import HOUR, RANGE, hourly, or_zero, quantile, share, total
from grafana.boards.tables import runs
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import LOOPS, TRACE_COST, TRACE_LLM_CALLS, TRACES_OVER_BUDGET

_EXACT: Final = "The value is as exact as the histogram's buckets."
_COLORS: Final = {"P50": GREEN, "P90": ORANGE, "P99": RED}
_DAY: Final = "1d"


def _totals() -> Row:
    # A run without a known cost is a run, but has no part in the mean.
    runs = total(TRACE_LLM_CALLS, part="count")
    number, dollars = total(TRACE_COST, part="count"), total(TRACE_COST, part="sum")
    return Row(
        height=4,
        panels=[
            (4, stat("Runs", described("Runs (traces) that ended in this range.", TRACE_LLM_CALLS), runs,
                     unit=COUNT, color="purple")),
            (4, stat("Mean cost of a run", described("Total cost of the runs in this range, divided by their number.",
                                                    TRACE_COST),
                     share(dollars, number), unit=USD)),
            *((4, _quantile(name, part)) for name, part in (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))),
            (4, stat(
                "Drift of P90",
                described(f"Change of the P90 of the cost of a run in this range from the same range a week ago. "
                          f"{_EXACT}", TRACE_COST),
                f"{quantile(0.9, TRACE_COST, RANGE)} / {quantile(0.9, TRACE_COST, RANGE, ago='1w')} - 1",
                unit=SHARE, steps=((None, GREEN), (0.1, YELLOW), (0.5, RED)),
            )),
        ],
    )  # fmt: skip


def _quantile(name: str, part: float) -> Panel:
    return stat(
        f"{name} cost of a run",
        described(f"{part:.0%} of the runs in this range cost at most this much. {_EXACT}", TRACE_COST),
        quantile(part, TRACE_COST, RANGE), unit=USD, color=_COLORS[name],
    )  # fmt: skip


def _distribution() -> Row:
    parts = (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))
    return Row(
        height=9,
        panels=[
            (12, graph(
                "Cost of a run",
                described(f"P50, P90 and P99 of the runs that ended in the day before each point. {_EXACT} A dot is a "
                          "run; click it to open its trace.", TRACE_COST),
                [Query(text=quantile(part, TRACE_COST, _DAY), legend=name, exemplars=True) for name, part in parts],
                unit=USD, logarithmic=True, overrides=[painted(name, color) for name, color in _COLORS.items()],
            )),
            (12, heatmap(
                "Distribution of the cost of a run",
                described("Number of runs by hour and cost. A dot is a run; click it to open its trace.", TRACE_COST),
                total(TRACE_COST, HOUR, by=("le",), part="bucket"),
            )),
        ],
    )  # fmt: skip


def _table() -> Row:
    attributes = (
        semconv.AGENT, semconv.USER, semconv.TRACE_LLM_CALLS, semconv.TRACE_INPUT_TOKENS, semconv.TRACE_OUTPUT_TOKENS,
        semconv.TRACE_LLM_COST, semconv.TRACE_TOOL_COST, semconv.TRACE_COST,
    )  # fmt: skip
    return Row(
        height=14,
        panels=[
            (24, runs(
                "Most expensive runs",
                "Up to 200 sampled runs that cost at least the variable Minimum cost, the most expensive first. Click "
                "a run to open its trace. If more than 200 runs match, Tempo returns an arbitrary selection: raise "
                f"the minimum. The figures are totals on the run's root span ({semconv.TRACE_COST} and others). A red "
                f"total is above twice the median of this range ({TRACE_COST.prometheus}). Filters: service.",
                f"2 * {quantile(0.5, TRACE_COST, RANGE)}",
                attributes=attributes, where=f"span.{semconv.TRACE_COST} >= $least",
            )),
        ],
    )  # fmt: skip


def _drift() -> Row:
    return Row(
        height=8,
        panels=[
            (8, graph(
                "Model calls of a run",
                described(f"P50 and P90 of the runs that ended in the day before each point. {_EXACT}",
                          TRACE_LLM_CALLS),
                [Query(text=quantile(part, TRACE_LLM_CALLS, _DAY), legend=name, exemplars=True)
                 for name, part in (("P50", 0.5), ("P90", 0.9))],
                unit=COUNT, overrides=[painted(name, color) for name, color in _COLORS.items()],
            )),
            (8, graph(
                "Drift of the cost of a run",
                described("Change of P50, P90 and P99 in the day before each point from the same day a week ago. "
                          f"{_EXACT}", TRACE_COST),
                [Query(text=f"{quantile(part, TRACE_COST, _DAY)} / {quantile(part, TRACE_COST, _DAY, ago='1w')} - 1",
                       legend=name) for name, part in (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))],
                unit=SHARE, overrides=[painted(name, color) for name, color in _COLORS.items()],
            )),
            (8, graph(
                "Runs over budget, and loops per hour",
                described("In the hour before each point: runs that exceeded the Collector's limit for one run, and "
                          "detected loops.", TRACES_OVER_BUDGET, LOOPS),
                [
                    Query(text=or_zero(hourly(TRACES_OVER_BUDGET)), legend="over budget"),
                    Query(text=or_zero(hourly(LOOPS)), legend="loops"),
                ],
                unit=COUNT, overrides=[painted("over budget", ORANGE), painted("loops", RED)],
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid="agentcost-runs",
    title="Agent cost · Runs",
    description="Cost of one run of an agent: distribution, drift, and the most expensive runs.",
    variables=[number("least", "Minimum cost ($)", "0", "Minimum cost of the runs in the table.")],
    rows=[_totals(), _distribution(), _table(), _drift()],
)
