"""Alerts about budgets, refusals, loops, circuit breakers and unpriced calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts.alert import Alert, number
from grafana.alerts.promql import SERVICE, total
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

_BUDGET: Final = ", ".join((SERVICE, *map(label, UTILIZATION.attributes)))
_AGENT: Final = f"{SERVICE}, {label(semconv.AGENT)}"


def call_alerts(limits: Thresholds) -> Iterator[Alert]:
    """Yield the alerts with these thresholds."""
    yield from _budgets(limits)
    yield from _loops(limits)
    yield Alert(
        name="AgentcostUnpricedCalls", group="agentcost-now", severity="warning", unit="count",
        query=total(
            ", ".join((SERVICE, *map(label, (semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.REASON)))),
            f'{UNPRICED.prometheus}{{{label(semconv.REASON)}!~"a framework.*"}}', "30m",
        ),
        threshold=limits.unpriced_calls,
        summary="{service_name}: {value} calls of {gen_ai_request_model} have no price: {agentcost_unpriced_reason}",
        description="The cost of these calls is missing in all sums. Add a price for the model, or correct its name.",
    )  # fmt: skip


def _budgets(limits: Thresholds) -> Iterator[Alert]:
    used = f"max by ({_BUDGET}) ({UTILIZATION.prometheus})"
    yield Alert(
        name="AgentcostBudgetNearlyUsed", group="agentcost-now", severity="warning", unit="share",
        query=f"({used} < {number(limits.budget_full)})", comparison=">=", threshold=limits.budget_soft,
        summary="Budget {agentcost_budget} {agentcost_budget_value} of {service_name} has reached {value}",
        description="A budget is nearly used up. When it is, its action applies: block, warn, downgrade or clamp.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostBudgetUsed", group="agentcost-now", severity="critical", unit="share",
        query=used, comparison=">=", threshold=limits.budget_full,
        summary="Budget {agentcost_budget} {agentcost_budget_value} of {service_name} is used up: {value}",
        description="Until the budget's window ends, its action applies to every call: block, warn, downgrade or "
                    "clamp.",
    )  # fmt: skip
    which = ", ".join((SERVICE, *map(label, REFUSALS.attributes)))
    yield Alert(
        name="AgentcostRefusals", group="agentcost-now", severity="warning", unit="count",
        query=total(which, REFUSALS.prometheus, "15m"), threshold=limits.refusals,
        summary="{service_name}: budget {agentcost_budget} refused {value} calls in the last 15 minutes",
        description="Users of the application may see errors. Raise the budget, or find the users and agents that "
                    "spend it.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostBudgetsNotEnforced", group="agentcost-now", severity="warning", unit="count",
        query=total(SERVICE, UNENFORCED.prometheus, "15m"), threshold=limits.unenforced,
        summary="{service_name}: budgets could not be applied to {value} calls in the last 15 minutes",
        description="The calls have no known price or model, or the ledger does not respond. Their spans have the "
                    f"event {semconv.E_UNENFORCED} with the reason.",
    )  # fmt: skip


def _loops(limits: Thresholds) -> Iterator[Alert]:
    yield Alert(
        name="AgentcostLoopStorm", group="agentcost-now", severity="critical", unit="count",
        query=total(_AGENT, LOOPS.prometheus, "15m"), threshold=limits.loops,
        summary="{service_name}: agent {gen_ai_agent_name} had {value} loops in the last 15 minutes",
        description="Each loop counts once, however long it is. OTEL_AGENTCOST_LOOP_ACTION=block stops loops.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostLoopWaste", group="agentcost-now", severity="warning", unit="dollars",
        query=total(_AGENT, LOOP_WASTE.prometheus, "1h"), threshold=limits.loop_usd,
        summary="{service_name}: loops of agent {gen_ai_agent_name} wasted ${value} in the last hour",
        description="Cost of loops after their first round.",
    )  # fmt: skip
    opened = f'{BREAKERS.prometheus}{{{label(semconv.BREAKER_STATE)}="open"}}'
    which = ", ".join((SERVICE, *map(label, (semconv.BREAKER, semconv.BREAKER_SCOPE, semconv.BREAKER_VALUE))))
    yield Alert(
        name="AgentcostBreakerOpen", group="agentcost-now", severity="critical", unit="count",
        query=total(which, opened, "15m"), threshold=limits.breakers,
        summary="{service_name}: the circuit breaker of {agentcost_breaker_scope} {agentcost_breaker_value} has opened",
        description="After too many refusals or loops, the breaker blocks calls for a time. Then it tries a single "
                    "call.",
    )  # fmt: skip
