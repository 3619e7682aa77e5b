"""Alerts about budgets, refusals, loops, circuit breakers and calls without a price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts.kind import Alert, number
from grafana.alerts.promql import PLACE, total
from grafana.alerts.thresholds import Thresholds
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import (
    BREAKERS,
    LOOP_WASTE,
    LOOPS,
    REFUSALS,
    UNENFORCED,
    UNPRICED,
    UTILIZATION,
    label,
)

_BUDGET: Final = ", ".join((PLACE, *map(label, UTILIZATION.attributes)))
_AGENT: Final = f"{PLACE}, {label(semconv.AGENT)}"


def from_calls(limits: Thresholds) -> Iterator[Alert]:
    """The alerts, with these thresholds."""
    yield from _budgets(limits)
    yield from _loops(limits)
    yield Alert(
        name="AgentcostUnpricedCalls", group="agentcost-now", severity="warning", shown="count",
        query=total(
            ", ".join((PLACE, *map(label, (semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.REASON)))),
            f'{UNPRICED.prometheus}{{{label(semconv.REASON)}!~"a framework.*"}}', "30m",
        ),
        threshold=limits.unpriced_calls,
        summary="{service_name}: {value} calls of {gen_ai_request_model} have no price: {agentcost_unpriced_reason}",
        means="Calls of the last half an hour whose dollars are in no sum. Give the model a price, or mend its name.",
    )  # fmt: skip


def _budgets(limits: Thresholds) -> Iterator[Alert]:
    used = f"max by ({_BUDGET}) ({UTILIZATION.prometheus})"
    yield Alert(
        name="AgentcostBudgetNearlyUsed", group="agentcost-now", severity="warning", shown="share",
        query=f"({used} < {number(limits.budget_full)})", comparison=">=", threshold=limits.budget_soft,
        summary="Budget {agentcost_budget} {agentcost_budget_value} of {service_name} is used to {value}",
        means="A budget is near its end; then happens what it was told: block, warn, downgrade, clamp.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostBudgetUsed", group="agentcost-now", severity="critical", shown="share",
        query=used, comparison=">=", threshold=limits.budget_full,
        summary="Budget {agentcost_budget} {agentcost_budget_value} of {service_name} is used up: {value}",
        means="Calls are refused, or only warned of, as the budget was told, until its window ends.",
    )  # fmt: skip
    which = ", ".join((PLACE, *map(label, REFUSALS.attributes)))
    yield Alert(
        name="AgentcostRefusals", group="agentcost-now", severity="warning", shown="count",
        query=total(which, REFUSALS.prometheus, "15m"), threshold=limits.refusals,
        summary="{service_name}: {value} calls were refused by budget {agentcost_budget} in the last 15 minutes",
        means="Users of the application may see errors. Raise the budget, or find who uses it up.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostBudgetsNotEnforced", group="agentcost-now", severity="warning", shown="count",
        query=total(PLACE, UNENFORCED.prometheus, "15m"), threshold=limits.unenforced,
        summary="{service_name}: {value} calls were sent without a budget check in the last 15 minutes",
        means="Calls without a known price or model, or a ledger that does not answer. Their spans have the event "
              f"{semconv.E_UNENFORCED} with the reason.",
    )  # fmt: skip


def _loops(limits: Thresholds) -> Iterator[Alert]:
    yield Alert(
        name="AgentcostLoopStorm", group="agentcost-now", severity="critical", shown="count",
        query=total(_AGENT, LOOPS.prometheus, "15m"), threshold=limits.loops,
        summary="{service_name}: agent {gen_ai_agent_name} had {value} loops in the last 15 minutes",
        means="Each loop counts once, however long it goes on. Stop them with OTEL_AGENTCOST_LOOP_ACTION=block.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostLoopWaste", group="agentcost-now", severity="warning", shown="dollars",
        query=total(_AGENT, LOOP_WASTE.prometheus, "1h"), threshold=limits.loop_usd,
        summary="{service_name}: loops of agent {gen_ai_agent_name} wasted ${value} in the last hour",
        means="Dollars that loops spent after their first round.",
    )  # fmt: skip
    opened = f'{BREAKERS.prometheus}{{{label(semconv.BREAKER_STATE)}="open"}}'
    which = ", ".join((PLACE, *map(label, (semconv.BREAKER, semconv.BREAKER_SCOPE, semconv.BREAKER_VALUE))))
    yield Alert(
        name="AgentcostBreakerOpen", group="agentcost-now", severity="critical", shown="count",
        query=total(which, opened, "15m"), threshold=limits.breakers,
        summary="{service_name}: the circuit breaker of {agentcost_breaker_scope} {agentcost_breaker_value} has opened",
        means="After too many refusals or loops, its calls are refused for a while, and then one is tried.",
    )  # fmt: skip
