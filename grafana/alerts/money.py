"""Alerts about spending: days, hours, users, runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.alerts.kind import Alert, number
from grafana.alerts.promql import DAY, PLACE, WEEK, total
from grafana.alerts.thresholds import Thresholds
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import COST, TRACE_COST, TRACES_OVER_BUDGET, WHERE, label

_COST: Final = COST.prometheus
_RUNS: Final = f"{TRACE_COST.prometheus}_count"
_BUCKETS: Final = f"{TRACE_COST.prometheus}_bucket"
_USER: Final = label(semconv.USER)
_ENVIRONMENT: Final = label(WHERE[1])


def from_money(limits: Thresholds) -> Iterator[Alert]:
    """The alerts, with these thresholds."""
    yield from _days(limits)
    yield from _runs(limits)


def _known(selector: str) -> str:
    """Whether there was such a service a week before the day: without a past, no day is out of the ordinary."""
    return f"(count by ({PLACE}) (present_over_time({selector}[1d] offset 7d)))"


def _days(limits: Thresholds) -> Iterator[Alert]:
    day, week = total(PLACE, _COST, DAY), total(PLACE, _COST, WEEK, ago=DAY)
    yield Alert(
        name="AgentcostDaySpend", group="agentcost-day", severity="warning", hold="15m", shown="times",
        query=f"({day} / clamp_min({week} / 7, {number(limits.floor_usd)})"
              f" and ({day} >= {number(limits.day_usd)}) and {_known(_COST)})",
        threshold=limits.day_ratio,
        summary="{service_name} has spent {value} times its 7-day mean in the last 24 hours",
        means="The dollars of the last 24 hours, over the mean of the seven days before them. New services are left "
              "out until they have a week behind them.",
    )  # fmt: skip
    user = total(f"{_ENVIRONMENT}, {_USER}", f'{_COST}{{{_USER}!=""}}', DAY)
    yield Alert(
        name="AgentcostUserShare", group="agentcost-day", severity="warning", hold="15m", shown="share",
        query=f"({user} / on ({_ENVIRONMENT}) group_left {total(_ENVIRONMENT, _COST, DAY)}"
              f" and ({user} >= {number(limits.user_usd)})"
              f" and on ({_ENVIRONMENT}) (count by ({_ENVIRONMENT}) ({user} > 0) >= {number(limits.users)}))",
        threshold=limits.user_share,
        summary="User {user_id} has spent {value} of all dollars of the last 24 hours",
        means="One user's dollars over those of all services of the environment, calls without a user included.",
    )  # fmt: skip
    yield _hours(limits)


def _hours(limits: Thresholds) -> Alert:
    hour = total(PLACE, _COST, "1h")
    past = " or ".join(
        f'label_replace({total(PLACE, _COST, "1h", ago=f"{week}w")}, "week", "{week}", "", "")' for week in range(1, 5)
    )
    return Alert(
        name="AgentcostHourSpend", group="agentcost-day", severity="warning", hold="15m", shown="times",
        query=f"({hour} / clamp_min(avg by ({PLACE}) ({past}), {number(limits.floor_usd)})"
              f" and ({hour} >= {number(limits.hour_usd)})"
              f" and (count by ({PLACE}) ({past}) >= {number(limits.hour_weeks)}))",
        threshold=limits.hour_ratio,
        summary="{service_name} has spent {value} times its usual amount for this hour of the week",
        means="The dollars of the last hour, over the mean of the same hour of the past four weeks, or of those weeks "
              "that Prometheus still has (it keeps 15 days unless told otherwise, which is two weeks).",
    )  # fmt: skip


def _runs(limits: Thresholds) -> Iterator[Alert]:
    bound = number(limits.run_usd)
    # Prometheus 3 writes a scraped bound as 10.0, and one that came by OTLP as 10.
    cheap = f'{_BUCKETS}{{le=~"{bound}|{float(limits.run_usd)}"}}'.replace(".", "[.]")
    yield Alert(
        name="AgentcostRunCost", group="agentcost-now", severity="critical", shown="count",
        # Rounded: increase() estimates at a window's edges, and not the same for both.
        query=f"round({total(PLACE, _RUNS, '15m')} - {total(PLACE, cheap, '15m')})",
        threshold=0,
        summary=f"{{service_name}}: {{value}} runs cost more than ${bound} each in the last 15 minutes",
        means="Runs (traces) beyond a bound of the histogram of what runs cost.",
    )  # fmt: skip
    yield Alert(
        name="AgentcostRunOverBudget", group="agentcost-now", severity="warning", shown="count",
        query=total(PLACE, TRACES_OVER_BUDGET.prometheus, "15m"),
        threshold=0,
        summary="{service_name}: {value} runs cost more than the budget set at the Collector, in the last 15 minutes",
        means="The Collector's limit is AGENTCOST_TRACE_BUDGET_USD; the runs' root spans have "
              f"{semconv.TRACE_OVER_BUDGET}.",
    )  # fmt: skip
    yield _drift(limits)


def _drift(limits: Thresholds) -> Alert:
    def p90(window: str, ago: str = "") -> str:
        return f"histogram_quantile(0.9, {total(f'le, {PLACE}', _BUCKETS, window, ago=ago)})"

    return Alert(
        name="AgentcostRunCostDrift", group="agentcost-day", severity="warning", hold="1h", shown="times",
        query=f"({p90(DAY)} / {p90(WEEK, DAY)} and ({p90(DAY)} >= {number(limits.drift_usd)})"
              f" and ({total(PLACE, _RUNS, DAY)} >= {number(limits.drift_runs)}) and {_known(_RUNS)})",
        threshold=limits.drift_ratio,
        summary="{service_name}: the P90 of the cost of a run is {value} times that of the 7 days before",
        means="Nine of ten runs of the last 24 hours cost less than this P90; it has gone up, which a new prompt, "
              "model or tool often explains.",
    )  # fmt: skip
