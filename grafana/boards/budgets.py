"""The board of budgets and loops: budget utilization, refusals, loops and their cost, circuit breakers."""

from __future__ import annotations

from typing import Final

from grafana.boards import queries
from grafana.boards.board import Board, Row
from grafana.boards.panels import (
    COUNT,
    GREEN,
    LIMIT,
    ORANGE,
    RED,
    SHARE,
    USD,
    YELLOW,
    Query,
    bars,
    described,
    gauge,
    graph,
    painted,
    stat,
)
from grafana.boards.queries import equals, hourly, legend, or_zero, top, total, with_default
from grafana.boards.tables import Column, table
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import (
    BREAKERS,
    LOOP_WASTE,
    LOOPS,
    REFUSALS,
    SAVINGS,
    TRACES_OVER_BUDGET,
    UNENFORCED,
    UTILIZATION,
    WARNINGS,
)

_BUDGET: Final = (semconv.BUDGET, semconv.BUDGET_VALUE)
_DOWNGRADE: Final = equals(semconv.SAVINGS_KIND, "downgrade")
_USED: Final = queries.maximum(UTILIZATION, *_BUDGET)
_REPORTS: Final = "If several processes report the same budget, the largest value is shown."


def _totals() -> Row:
    alarm = ((None, GREEN), (1, ORANGE))
    return Row(
        height=5,
        panels=[
            (4, gauge("Highest utilization", described(f"Current utilization of the most used budget. {_REPORTS}",
                                                       UTILIZATION), f"max({_USED})")),
            (4, stat("Calls refused", described("Model calls that budgets refused in this range.", REFUSALS),
                     or_zero(total(REFUSALS)), unit=COUNT, steps=alarm)),
            (4, stat("Limits reached", described("Number of times that a budget reached its soft limit or its limit "
                                                 "in this range.", WARNINGS),
                     or_zero(total(WARNINGS)), unit=COUNT, steps=alarm)),
            (4, stat("Loops detected", described("Loops in this range. Each loop counts once, however long it is.",
                                                 LOOPS),
                     or_zero(total(LOOPS)), unit=COUNT, steps=alarm)),
            (4, stat("Cost of loops", described("Cost of loops after their first round. It is known for loops that the "
                                                "agent's process detects, not for those that the Collector detects.",
                                                LOOP_WASTE),
                     total(LOOP_WASTE), unit=USD, steps=((None, GREEN), (0.01, RED)))),
            (4, stat("Saved by downgrades", described("Savings in this range from calls that a budget downgraded to "
                                                      "a cheaper model.", SAVINGS),
                     or_zero(total(SAVINGS, queries.RANGE, _DOWNGRADE)), unit=USD, color=GREEN)),
        ],
    )  # fmt: skip


def _utilization() -> Row:
    return Row(
        height=9,
        panels=[
            (10, bars(
                "Budget utilization now",
                described(f"The fifteen most used budgets, as a share of their limits. {_REPORTS}", UTILIZATION),
                top(_USED, 15), unit=SHARE, legend=legend(*_BUDGET), steps=LIMIT, max_val=1,
            )),
            (14, graph(
                "Budget utilization over time",
                described(f"The ten most used budgets at each point. Hourly and daily budgets restart at 0. {_REPORTS}",
                          UTILIZATION),
                [Query(text=top(_USED), legend=legend(*_BUDGET))], unit=SHARE, steps=LIMIT,
            )),
        ],
    )  # fmt: skip


def _refusals() -> Row:
    return Row(
        height=8,
        panels=[
            (8, graph(
                "Calls refused per hour",
                described("Model calls that budgets refused in the hour before each point, by budget and its action.",
                          REFUSALS),
                [Query(text=hourly(REFUSALS, by=(semconv.BUDGET, semconv.BUDGET_ACTION)),
                       legend=legend(semconv.BUDGET, semconv.BUDGET_ACTION))],
                unit=COUNT, stacked=True,
            )),
            (8, graph(
                "Limits reached per hour",
                described("Number of times that a budget reached its soft limit or its limit in the hour before each "
                          "point.", WARNINGS),
                [Query(text=hourly(WARNINGS, by=(semconv.BUDGET, semconv.BUDGET_LEVEL)),
                       legend=legend(semconv.BUDGET, semconv.BUDGET_LEVEL))],
                unit=COUNT, stacked=True,
            )),
            (8, graph(
                "Budgets not enforced",
                described("In the hour before each point: calls to which a budget could not be applied, or only in "
                          "part, and runs that exceeded the Collector's limit for one run.",
                          UNENFORCED, TRACES_OVER_BUDGET),
                [
                    Query(text=or_zero(hourly(UNENFORCED)), legend="calls not covered"),
                    Query(text=or_zero(hourly(TRACES_OVER_BUDGET)), legend="runs over budget"),
                ],
                unit=COUNT,
                overrides=[painted("calls not covered", YELLOW), painted("runs over budget", ORANGE)],
            )),
        ],
    )  # fmt: skip


def _loops() -> Row:
    by = (semconv.AGENT, semconv.TOOL, semconv.LOOP_RULE)
    return Row(
        height=9,
        panels=[
            (8, graph(
                "Loops per hour, by rule",
                described("Loops detected in the hour before each point, by the rule that detected them.", LOOPS),
                [Query(text=hourly(LOOPS, by=(semconv.LOOP_RULE,)), legend=legend(semconv.LOOP_RULE))],
                unit=COUNT, stacked=True,
            )),
            (16, table(
                "Loops by agent and tool",
                described("Loops in this range, and their cost after the first round. The cost is known for loops that "
                          "the agent's process detects, not for those that the Collector detects.",
                          LOOPS, LOOP_WASTE),
                {semconv.AGENT: "Agent", semconv.TOOL: "Tool", semconv.LOOP_RULE: "Rule"},
                [
                    Column(title="Loops", query=f"{with_default(total(LOOPS, by=by), *by)} > 0", unit=COUNT),
                    Column(title="Cost", query=f"{with_default(total(LOOP_WASTE, by=by), *by)} > 0", unit=USD, look={
                        "custom__cellOptions": {"type": "gauge", "mode": "basic"},
                        "color": {"mode": "fixed", "fixedColor": RED}}),
                ],
                sort="Loops",
            )),
        ],
    )  # fmt: skip


def _breakers() -> Row:
    breaker = (semconv.BREAKER, semconv.BREAKER_STATE)
    return Row(
        height=8,
        panels=[
            (8, graph(
                "Circuit breaker changes per hour",
                described("Number of times that circuit breakers opened, half-opened or closed in the hour before each "
                          "point.", BREAKERS),
                [Query(text=hourly(BREAKERS, by=(semconv.BREAKER_STATE,)), legend=legend(semconv.BREAKER_STATE))],
                unit=COUNT, stacked=True,
                overrides=[painted("open", RED), painted("half_open", YELLOW), painted("closed", GREEN)],
            )),
            (8, bars(
                "Circuit breaker changes by breaker",
                described("Number of changes to each state in this range, by circuit breaker.", BREAKERS),
                top(total(BREAKERS, by=breaker)), unit=COUNT, legend=legend(*breaker), color=YELLOW,
            )),
            (8, graph(
                "Saved by downgrades per hour",
                described("Savings in the hour before each point from calls that a budget downgraded to a cheaper "
                          "model, by the model that answered.", SAVINGS),
                [Query(text=hourly(SAVINGS, _DOWNGRADE, by=(semconv.REQUEST_MODEL,)),
                       legend=legend(semconv.REQUEST_MODEL))],
                unit=USD, stacked=True,
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid="agentcost-budgets",
    title="Agent cost · Budgets and loops",
    description="Budget utilization and refusals; detected loops and their cost; circuit breakers.",
    rows=[_totals(), _utilization(), _refusals(), _loops(), _breakers()],
)
