"""All thresholds of the alerts.

`python -m grafana.alerts --set day_ratio=3 --set day_usd=200` changes some.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from otel_agentcost.core import semconv


def _number(value: float, description: str) -> float:
    number: float = field(default=value, metadata={"description": description})
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Limits of the alerts; many have a minimum in dollars (`..._usd`) below which they do not fire."""

    day_ratio: float = _number(2, "maximum cost of a day, as a multiple of the 7-day mean")
    day_usd: float = _number(10, "minimum daily cost of a service in dollars")
    floor_usd: float = _number(1, "minimum of a past mean in dollars, which avoids a division by 0")
    user_share: float = _number(0.1, "maximum share of one user in the cost of a day")
    user_usd: float = _number(10, "minimum daily cost of a user in dollars")
    users: float = _number(20, "minimum number of users a day: of nine users, one always has more than a tenth")
    run_usd: float = _number(10, "maximum cost of one run in dollars; must be a bucket bound of the histogram")
    budget_soft: float = _number(0.8, "budget utilization at which to warn")
    budget_full: float = _number(1, "budget utilization at which the budget is used up")
    drift_ratio: float = _number(1.5, "maximum P90 of a day's run cost, as a multiple of that of the 7 days before")
    drift_usd: float = _number(0.05, "minimum P90 of a day in dollars")
    drift_runs: float = _number(100, "minimum number of runs a day for a meaningful P90")
    hour_ratio: float = _number(3, "maximum cost of an hour, as a multiple of its mean over the past four weeks")
    hour_usd: float = _number(5, "minimum hourly cost of a service in dollars")
    hour_weeks: float = _number(2, "minimum number of the four weeks with data")
    unpriced_calls: float = _number(0, "maximum number of unpriced calls in 30 minutes")
    loops: float = _number(10, "maximum number of loops of one agent in 15 minutes")
    loop_usd: float = _number(5, "maximum cost of loops in an hour in dollars")
    breakers: float = _number(0, "maximum number of circuit breakers that open in 15 minutes")
    refusals: float = _number(5, "maximum number of calls that one budget refuses in 15 minutes")
    unenforced: float = _number(0, "maximum number of calls in 15 minutes to which a budget could not be applied")
    bill_missing: float = _number(0.05, "maximum share of a day's bill that was not recorded")
    bill_surplus: float = _number(0.02, "maximum of what was recorded above a day's bill, as a share of the bill")
    bill_usd: float = _number(1, "minimum bill of a day in dollars")
    lost: float = _number(0, "maximum number of spans or points that a Collector loses in 10 minutes")

    def __post_init__(self) -> None:
        if self.run_usd not in semconv.COST_BUCKETS:
            raise ValueError(f"run_usd must be one of {', '.join(map(str, semconv.COST_BUCKETS))}, not {self.run_usd}")


def changed(settings: Sequence[str]) -> Thresholds:
    """Return the thresholds with changes of the form `name=number`. Raises ValueError for an unknown name or value."""
    values: dict[str, float] = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        if name not in {one.name for one in dataclasses.fields(Thresholds)}:
            raise ValueError(f"unknown threshold: {name}")
        values[name] = float(number)
    return Thresholds(**values)
