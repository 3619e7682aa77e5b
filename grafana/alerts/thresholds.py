"""Every number that decides whether an alert fires: named here, and nowhere else.

Another one: `python -m grafana.alerts --set day_ratio=3 --set day_usd=200`, or change it here.
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
    """What is too much, and below how many dollars (`..._usd`) nobody wants to be told."""

    day_ratio: float = _number(2, "how many times the 7-day mean a day may cost")
    day_usd: float = _number(10, "dollars a day of a service below which nothing is said of its day")
    floor_usd: float = _number(1, "dollars: a past mean that is less counts as this, so that nothing is divided by 0")
    user_share: float = _number(0.1, "share of a day's dollars that one user may spend")
    user_usd: float = _number(10, "dollars a day of a user below which nothing is said of the user")
    users: float = _number(20, "how many users a day must have: of nine, one always has more than a tenth")
    run_usd: float = _number(10, "dollars that one run may cost; must be a bound of the histogram's buckets")
    budget_soft: float = _number(0.8, "share of a budget at which to warn")
    budget_full: float = _number(1, "share of a budget at which it is used up")
    drift_ratio: float = _number(1.5, "how many times the P90 of the 7 days before a day's P90 of run cost may be")
    drift_usd: float = _number(0.05, "dollars below which a day's P90 is not looked at")
    drift_runs: float = _number(100, "how many runs a day must have had for its P90 to mean something")
    hour_ratio: float = _number(3, "how many times the mean of the same hour of the past four weeks an hour may cost")
    hour_usd: float = _number(5, "dollars an hour of a service below which nothing is said of its hour")
    hour_weeks: float = _number(2, "how many of the four weeks must be known")
    unpriced_calls: float = _number(0, "calls in half an hour that may be without a price")
    loops: float = _number(10, "loops in a quarter of an hour that one agent may go into")
    loop_usd: float = _number(5, "dollars an hour that loops may waste")
    breakers: float = _number(0, "circuit breakers that may open in a quarter of an hour")
    refusals: float = _number(5, "calls in a quarter of an hour that one budget may refuse")
    unenforced: float = _number(0, "calls in a quarter of an hour that budgets may not be able to look at")
    lost: float = _number(0, "spans or points in ten minutes that a Collector may lose")

    def __post_init__(self) -> None:
        if self.run_usd not in semconv.COST_BUCKETS:
            raise ValueError(f"run_usd must be one of {', '.join(map(str, semconv.COST_BUCKETS))}, not {self.run_usd}")


def changed(settings: Sequence[str]) -> Thresholds:
    """The thresholds, with some set: `name=number`. Raises ValueError that names what cannot be set."""
    found: dict[str, float] = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        if name not in {one.name for one in dataclasses.fields(Thresholds)}:
            raise ValueError(f"{name}: there is no such threshold")
        found[name] = float(number)
    return Thresholds(**found)
