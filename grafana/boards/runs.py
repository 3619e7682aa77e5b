"""The runs: what one costs, how that is spread and where it drifts, and which runs were dear."""

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
from grafana.boards.queries import HOUR, RANGE, hourly, quantile, share, total, zero
from grafana.boards.tables import runs
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import LOOPS, TRACE_COST, TRACE_LLM_CALLS, TRACES_OVER_BUDGET

_WIDTH: Final = "To the width of the histogram's buckets."
_COLOURS: Final = {"P50": GREEN, "P90": ORANGE, "P99": RED}
_DAY: Final = "1d"


def _glance() -> Row:
    number, dollars = total(TRACE_COST, part="count"), total(TRACE_COST, part="sum")
    return Row(
        height=4,
        panels=[
            (4, stat("Runs", described("Runs (traces) that ended in this range.", TRACE_COST), number,
                     unit=COUNT, colour="purple")),
            (4, stat("A run costs", described("Dollars of all runs in this range, by their number.", TRACE_COST),
                     share(dollars, number), unit=USD)),
            *((4, _quantile(name, part)) for name, part in (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))),
            (4, stat(
                "Drift of P90",
                described(f"P90 of the cost of a run in this range against that of the same stretch a week ago: "
                          f"+10 % is a tenth dearer. {_WIDTH}", TRACE_COST),
                f"{quantile(0.9, TRACE_COST, RANGE)} / {quantile(0.9, TRACE_COST, RANGE, ago='1w')} - 1",
                unit=SHARE, steps=((None, GREEN), (0.1, YELLOW), (0.5, RED)),
            )),
        ],
    )  # fmt: skip


def _quantile(name: str, part: float) -> Panel:
    return stat(
        f"{name} of a run",
        described(f"{part:.0%} of the runs in this range cost at most so much. {_WIDTH}", TRACE_COST),
        quantile(part, TRACE_COST, RANGE), unit=USD, colour=_COLOURS[name],
    )  # fmt: skip


def _spread() -> Row:
    parts = (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))
    return Row(
        height=9,
        panels=[
            (12, graph(
                "Cost of a run",
                described(f"P50, P90 and P99 of the runs that ended in the day before each point. {_WIDTH} A dot is a "
                          "run: click it for its trace.", TRACE_COST),
                [Query(text=quantile(part, TRACE_COST, _DAY), legend=name, exemplars=True) for name, part in parts],
                unit=USD, logarithmic=True, overrides=[painted(name, colour) for name, colour in _COLOURS.items()],
            )),
            (12, heatmap(
                "How the cost of runs is spread",
                described("How many runs of each hour cost how much: the darker, the more. A dot is a run: click it "
                          "for its trace.", TRACE_COST),
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
                "Runs and their traces",
                "Up to 200 sampled runs that cost at least what is set above as Runs from, the dearest of them first; "
                "click one for its trace. Of more than 200 Tempo gives some: raise Runs from. The figures are the "
                f"totals on the run's first span ({semconv.TRACE_COST} and its like). Red: above twice the median of "
                f"this range ({TRACE_COST.prometheus}). Steps are model calls. Chosen by service.",
                f"2 * {quantile(0.5, TRACE_COST, RANGE)}",
                attributes=attributes, where=f"span.{semconv.TRACE_COST} >= $least",
            )),
        ],
    )  # fmt: skip


def _steps() -> Row:
    return Row(
        height=8,
        panels=[
            (8, graph(
                "Steps of a run",
                described(f"Model calls of runs that ended in the day before each point. {_WIDTH}", TRACE_LLM_CALLS),
                [Query(text=quantile(part, TRACE_LLM_CALLS, _DAY), legend=name, exemplars=True)
                 for name, part in (("P50", 0.5), ("P90", 0.9))],
                unit=COUNT, overrides=[painted(name, colour) for name, colour in _COLOURS.items()],
            )),
            (8, graph(
                "Drift of the cost of a run",
                described("P50, P90 and P99 of the day before each point, against the same day a week ago: 0 % is no "
                          f"change. {_WIDTH}", TRACE_COST),
                [Query(text=f"{quantile(part, TRACE_COST, _DAY)} / {quantile(part, TRACE_COST, _DAY, ago='1w')} - 1",
                       legend=name) for name, part in (("P50", 0.5), ("P90", 0.9), ("P99", 0.99))],
                unit=SHARE, overrides=[painted(name, colour) for name, colour in _COLOURS.items()],
            )),
            (8, graph(
                "Runs over budget, and loops",
                described("In the hour before each point: runs that cost more than the Collector was told one may "
                          "cost, and loops that were found.", TRACES_OVER_BUDGET, LOOPS),
                [
                    Query(text=zero(hourly(TRACES_OVER_BUDGET)), legend="over budget"),
                    Query(text=zero(hourly(LOOPS)), legend="loops"),
                ],
                unit=COUNT, overrides=[painted("over budget", ORANGE), painted("loops", RED)],
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid="agentcost-runs",
    title="Agent cost · Runs",
    description="What one run of an agent costs, how that is spread and where it drifts, and which runs were dear.",
    variables=[number("least", "Runs from ($)", "0", "The table has runs that cost at least so much.")],
    rows=[_glance(), _spread(), _table(), _steps()],
)
