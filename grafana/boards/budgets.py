"""Budgets and loops: how far budgets are used, what they refused, which loops were found and what those spent."""

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
from grafana.boards.queries import equals, hourly, legend, named, top, total, zero
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
_USED: Final = queries.largest(UTILIZATION, *_BUDGET)
_REPORTS: Final = "Several processes that share a budget report the same figure: the largest is shown."


def _glance() -> Row:
    alarm = ((None, GREEN), (1, ORANGE))
    return Row(
        height=5,
        panels=[
            (4, gauge("Fullest budget", described(f"How far the budget that is used most is used now. {_REPORTS}",
                                                  UTILIZATION), f"max({_USED})")),
            (4, stat("Calls refused", described("Model calls that budgets refused in this range.", REFUSALS),
                     zero(total(REFUSALS)), unit=COUNT, steps=alarm)),
            (4, stat("Limits reached", described("How often budgets came to their soft limit or to their limit in this "
                                                 "range.", WARNINGS),
                     zero(total(WARNINGS)), unit=COUNT, steps=alarm)),
            (4, stat("Loops found", described("Loops in this range: each once, however long it went on.", LOOPS),
                     zero(total(LOOPS)), unit=COUNT, steps=alarm)),
            (4, stat("Spent by loops", described("Dollars that loops spent since their first round. Known where the "
                                                 "agent's own process finds them, not where the Collector does.",
                                                 LOOP_WASTE),
                     total(LOOP_WASTE), unit=USD, steps=((None, GREEN), (0.01, RED)))),
            (4, stat("Saved by downgrades", described("Dollars that calls cost less in this range because a budget "
                                                      "sent them to a cheaper model.", SAVINGS),
                     zero(total(SAVINGS, queries.RANGE, _DOWNGRADE)), unit=USD, colour=GREEN)),
        ],
    )  # fmt: skip


def _utilization() -> Row:
    return Row(
        height=9,
        panels=[
            (10, bars(
                "How far budgets are used now",
                described(f"The fifteen budgets that are used most: 100 % is all of one. {_REPORTS}", UTILIZATION),
                top(_USED, 15), unit=SHARE, legend=legend(*_BUDGET), steps=LIMIT, max_val=1,
            )),
            (14, graph(
                "How far budgets were used",
                described(f"The ten budgets that were used most at each point; a budget of an hour or a day falls to 0 "
                          f"when the next begins. {_REPORTS}", UTILIZATION),
                [Query(text=top(_USED), legend=legend(*_BUDGET))], unit=SHARE, steps=LIMIT,
            )),
        ],
    )  # fmt: skip


def _refusals() -> Row:
    return Row(
        height=8,
        panels=[
            (8, graph(
                "Calls refused an hour",
                described("Model calls that budgets refused in the hour before each point, by budget and by what the "
                          "budget does.", REFUSALS),
                [Query(text=hourly(REFUSALS, by=(semconv.BUDGET, semconv.BUDGET_ACTION)),
                       legend=legend(semconv.BUDGET, semconv.BUDGET_ACTION))],
                unit=COUNT, stacked=True,
            )),
            (8, graph(
                "Limits reached an hour",
                described("How often budgets came to their soft limit or to their limit in the hour before each "
                          "point.", WARNINGS),
                [Query(text=hourly(WARNINGS, by=(semconv.BUDGET, semconv.BUDGET_LEVEL)),
                       legend=legend(semconv.BUDGET, semconv.BUDGET_LEVEL))],
                unit=COUNT, stacked=True,
            )),
            (8, graph(
                "Not held to a budget",
                described("In the hour before each point: calls that budgets could not, or not wholly, look at, and "
                          "runs that cost more than the Collector was told one may cost.",
                          UNENFORCED, TRACES_OVER_BUDGET),
                [
                    Query(text=zero(hourly(UNENFORCED)), legend="calls that no budget saw"),
                    Query(text=zero(hourly(TRACES_OVER_BUDGET)), legend="runs over budget"),
                ],
                unit=COUNT,
                overrides=[painted("calls that no budget saw", YELLOW), painted("runs over budget", ORANGE)],
            )),
        ],
    )  # fmt: skip


def _loops() -> Row:
    found = (semconv.AGENT, semconv.TOOL, semconv.LOOP_RULE)
    return Row(
        height=9,
        panels=[
            (8, graph(
                "Loops an hour, by rule",
                described("Loops that were found in the hour before each point, by the rule that found them.", LOOPS),
                [Query(text=hourly(LOOPS, by=(semconv.LOOP_RULE,)), legend=legend(semconv.LOOP_RULE))],
                unit=COUNT, stacked=True,
            )),
            (16, table(
                "Which agents go in circles",
                described("Loops in this range, and the dollars that they spent since their first round. Dollars are "
                          "known where the agent's own process finds loops, not where the Collector does.",
                          LOOPS, LOOP_WASTE),
                {semconv.AGENT: "Agent", semconv.TOOL: "Tool", semconv.LOOP_RULE: "Rule"},
                [
                    Column(title="Loops", query=f"{named(total(LOOPS, by=found), *found)} > 0", unit=COUNT),
                    Column(title="Dollars", query=f"{named(total(LOOP_WASTE, by=found), *found)} > 0", unit=USD, look={
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
                "Circuit breakers an hour",
                described("How often circuit breakers opened, half-opened or closed in the hour before each point.",
                          BREAKERS),
                [Query(text=hourly(BREAKERS, by=(semconv.BREAKER_STATE,)), legend=legend(semconv.BREAKER_STATE))],
                unit=COUNT, stacked=True,
                overrides=[painted("open", RED), painted("half_open", YELLOW), painted("closed", GREEN)],
            )),
            (8, bars(
                "Which breakers moved",
                described("How often each circuit breaker changed to which state in this range.", BREAKERS),
                top(total(BREAKERS, by=breaker)), unit=COUNT, legend=legend(*breaker), colour=YELLOW,
            )),
            (8, graph(
                "Saved by downgrades an hour",
                described("Dollars that calls cost less in the hour before each point because a budget sent them to a "
                          "cheaper model, by the model that answered.", SAVINGS),
                [Query(text=hourly(SAVINGS, _DOWNGRADE, by=(semconv.REQUEST_MODEL,)),
                       legend=legend(semconv.REQUEST_MODEL))],
                unit=USD, stacked=True,
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid="agentcost-budgets",
    title="Agent cost · Budgets and loops",
    description="How far budgets are used and what they refused; which loops were found, and what those spent.",
    rows=[_glance(), _utilization(), _refusals(), _loops(), _breakers()],
)
