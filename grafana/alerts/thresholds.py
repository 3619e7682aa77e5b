"""The thresholds of all alerts: each is named here and nowhere else.

To change one: `python -m grafana.alerts --set day_ratio=3 --set day_usd=200`, or edit this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from otel_agentcost.core import semconv


def _number(value: float, means: str) -> float:
    found: float = field(default=value, metadata={"means": means})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The limits above which alerts fire, and the dollars (`..._usd`) below which they stay silent."""

    day_ratio: float = _number(2, "ratio of a day's cost to its 7-day mean")
    day_usd: float = _number(10, "dollars a day below which a service causes no alert")
    floor_usd: float = _number(1, "dollars: a lower past mean counts as this, to avoid a division by 0")
    user_share: float = _number(0.1, "allowed share of a day's dollars for one user")
    user_usd: float = _number(10, "dollars a day below which a user causes no alert")
    users: float = _number(20, "minimum number of users a day; of nine users, one always has more than a tenth")
    run_usd: float = _number(10, "allowed dollars of one run; must be a bucket bound of the histogram")
    budget_soft: float = _number(0.8, "share of a budget at which to warn")
    budget_full: float = _number(1, "share of a budget at which it is used up")
    drift_ratio: float = _number(1.5, "ratio of a day's P90 of run cost to that of the 7 days before")
    drift_usd: float = _number(0.05, "dollars below which a day's P90 causes no alert")
    drift_runs: float = _number(100, "minimum number of runs a day for a meaningful P90")
    hour_ratio: float = _number(3, "ratio of an hour's cost to the mean of the same hour of the past four weeks")
    hour_usd: float = _number(5, "dollars an hour below which a service causes no alert")
    hour_weeks: float = _number(2, "minimum number of the four weeks with data")
    unpriced_calls: float = _number(0, "allowed calls without a price in half an hour")
    loops: float = _number(10, "allowed loops of one agent in a quarter of an hour")
    loop_usd: float = _number(5, "allowed dollars an hour wasted by loops")
    breakers: float = _number(0, "allowed openings of circuit breakers in a quarter of an hour")
    refusals: float = _number(5, "allowed refusals by one budget in a quarter of an hour")
    unenforced: float = _number(0, "allowed calls without a budget check in a quarter of an hour")
    lost: float = _number(0, "allowed loss of spans or points of a Collector in ten minutes")

    def __post_init__(self) -> None:
        if self.run_usd not in semconv.COST_BUCKETS:
            raise ValueError(f"run_usd must be one of {', '.join(map(str, semconv.COST_BUCKETS))}, not {self.run_usd}")


def changed(settings: Sequence[str]) -> Thresholds:
    """Return the thresholds with changes.

    Args:
        settings: Changes as `name=number`.

    Raises:
        ValueError: A name is unknown or a value is no number; the message names it.

    """
    found: dict[str, float] = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        if name not in {one.name for one in dataclasses.fields(Thresholds)}:
            raise ValueError(f"{name}: there is no such threshold")
        found[name] = float(number)
    return Thresholds(**found)
