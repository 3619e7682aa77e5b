"""Alerts about spend: by day, hour, user and run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts.alert import Alert, number
from grafana.alerts.promql import DAY, SERVICE, WEEK, total
from grafana.alerts.thresholds import Thresholds
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import COST, TRACE_COST, TRACES_OVER_BUDGET, WHERE, label

_COST: Final = COST.prometheus
_RUNS: Final = f"{TRACE_COST.prometheus}_count"
_BUCKETS: Final = f"{TRACE_COST.prometheus}_bucket"
_USER: Final = label(semconv.USER)
_ENVIRONMENT: Final = label(WHERE[1])


def spend_alerts(limits: Thresholds) -> Iterator[Alert]:
    """Yield the alerts with these thresholds."""
    yield from _days(limits)
    yield from _runs(limits)


def _known(selector: str) -> str:
    """Return the services that existed a week before; new services have no past to compare with."""
    return f"(count by ({SERVICE}) (present_over_time({selector}[1d] offset 7d)))"


def _days(limits: Thresholds) -> Iterator[Alert]:
    day, week = total(SERVICE, _COST, DAY), total(SERVICE, _COST, WEEK, ago=DAY)
    yield Alert(
        name="AgentcostDaySpend", group="agentcost-day", severity="warning", pending="15m", unit="times",
        query=f"({day} / clamp_min({week} / 7, {number(limits.floor_usd)})"
              f" and ({day} >= {number(limits.day_usd)}) and {_known(_COST)})",
        threshold=limits.day_ratio,
        summary="{service_name} spent {value} times its 7-day mean in the last 24 hours",
        description="Cost of the last 24 hours, divided by the daily mean of the seven days before. Services that are "
                    "less than a week old are excluded.",
    )  # fmt: skip
    user = total(f"{_ENVIRONMENT}, {_USER}", f'{_COST}{{{_USER}!=""}}', DAY)
    yield Alert(
        name="AgentcostUserShare", group="agentcost-day", severity="warning", pending="15m", unit="share",
        query=f"({user} / on ({_ENVIRONMENT}) group_left {total(_ENVIRONMENT, _COST, DAY)}"
              f" and ({user} >= {number(limits.user_usd)})"
              f" and on ({_ENVIRONMENT}) (count by ({_ENVIRONMENT}) ({user} > 0) >= {number(limits.users)}))",
        threshold=limits.user_share,
        summary="User {user_id} spent {value} of the total cost of the last 24 hours",
        description="Cost of one user, divided by the cost of the whole environment, including calls without a user.",
    )  # fmt: skip
    yield _hours(limits)


def _hours(limits: Thresholds) -> Alert:
    hour = total(SERVICE, _COST, "1h")
    past = " or ".join(
        f'label_replace({total(SERVICE, _COST, "1h", ago=f"{week}w")}, "week", "{week}", "", "")'
        for week in range(1, 5)
    )
    return Alert(
        name="AgentcostHourSpend", group="agentcost-day", severity="warning", pending="15m", unit="times",
        query=f"({hour} / clamp_min(avg by ({SERVICE}) ({past}), {number(limits.floor_usd)})"
              f" and ({hour} >= {number(limits.hour_usd)})"
              f" and (count by ({SERVICE}) ({past}) >= {number(limits.hour_weeks)}))",
        threshold=limits.hour_ratio,
        summary="{service_name} spent {value} times its usual cost for this hour of the week",
        description="Cost of the last hour, divided by the mean of the same hour in the past four weeks. With "
                    "Prometheus' default retention of 15 days, only two weeks are available.",
    )  # fmt: skip


def _runs(limits: Thresholds) -> Iterator[Alert]:
    bound = number(limits.run_usd)
    # Prometheus 3 writes a scraped bound as 10.0, and one received by OTLP as 10.
    cheap = f'{_BUCKETS}{{le=~"{bound}|{float(limits.run_usd)}"}}'.replace(".", "[.]")
    yield Alert(
        name="AgentcostRunCost", group="agentcost-now", severity="critical", unit="count",
        # Rounded: increase() extrapolates differently for the two series.
        query=f"round({total(SERVICE, _RUNS, '15m')} - {total(SERVICE, cheap, '15m')})",
        threshold=0,
        summary=f"{{service_name}}: {{value}} runs cost more than ${bound} each in the last 15 minutes",
        description="Number of runs (traces) above a bucket bound of the histogram of run costs.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostRunOverBudget", group="agentcost-now", severity="warning", unit="count",
        query=total(SERVICE, TRACES_OVER_BUDGET.prometheus, "15m"),
        threshold=0,
        summary="{service_name}: {value} runs exceeded the Collector's limit for one run in the last 15 minutes",
        description="The limit is AGENTCOST_TRACE_BUDGET_USD of the Collector. The root spans of these runs have the "
                    f"attribute {semconv.TRACE_OVER_BUDGET}.",
    )  # fmt: skip
    yield _drift(limits)


def _drift(limits: Thresholds) -> Alert:
    def p90(window: str, ago: str = "") -> str:
        return f"histogram_quantile(0.9, {total(f'le, {SERVICE}', _BUCKETS, window, ago=ago)})"

    return Alert(
        name="AgentcostRunCostDrift", group="agentcost-day", severity="warning", pending="1h", unit="times",
        query=f"({p90(DAY)} / {p90(WEEK, DAY)} and ({p90(DAY)} >= {number(limits.drift_usd)})"
              f" and ({total(SERVICE, _RUNS, DAY)} >= {number(limits.drift_runs)}) and {_known(_RUNS)})",
        threshold=limits.drift_ratio,
        summary="{service_name}: the P90 of the cost of a run is {value} times that of the 7 days before",
        description="90 % of the runs of the last 24 hours cost less than the P90. A new prompt, model or tool often "
                    "explains an increase.",
    )  # fmt: skip
