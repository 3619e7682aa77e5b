"""Alerts about providers' bills, from the gauges that `agentcost reconcile --otlp` sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts.alert import Alert, number
from grafana.alerts.promql import DAY
from grafana.alerts.thresholds import Thresholds
from otel_agentcost.telemetry.signals import RECONCILE_BILLED, RECONCILE_RATIO, label

_WHOSE: Final = ", ".join(map(label, RECONCILE_RATIO.attributes))


def bill_alerts(limits: Thresholds) -> Iterator[Alert]:
    """Yield the alerts with these thresholds. The gauges come once a day: the last ones count for a day."""
    ratio = f"max by ({_WHOSE}) (last_over_time({RECONCILE_RATIO.prometheus}[{DAY}]))"
    billed = f"max by ({_WHOSE}) (last_over_time({RECONCILE_BILLED.prometheus}[{DAY}]))"
    large = f"and ({billed} >= {number(limits.bill_usd)})"
    yield Alert(
        name="AgentcostBillNotRecorded", group="agentcost-day", severity="warning", unit="share",
        query=f"(1 - {ratio} {large})", threshold=limits.bill_missing,
        summary="{value} of what {gen_ai_provider_name} billed for {agentcost_reconcile_day} was not recorded",
        description="Calls are made outside of the instrumented programs, or are recorded too low. `agentcost "
                    "reconcile` splits the difference into its causes.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostBillExceeded", group="agentcost-day", severity="warning", unit="share",
        query=f"({ratio} - 1 {large})", threshold=limits.bill_surplus,
        summary="{value} more was recorded than {gen_ai_provider_name} billed for {agentcost_reconcile_day}",
        description="Calls are counted twice or at too high a price, for example at the list price in spite of a "
                    "contract. `agentcost reconcile` splits the difference into its causes.",
    )  # fmt: skip
