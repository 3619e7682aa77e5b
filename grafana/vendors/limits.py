"""Above which numbers the vendors' alerts fire: the same as Grafana's, and the dollars of a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana.alerts.thresholds import Thresholds

_GRAFANA: Final = Thresholds()


@dataclass(frozen=True, slots=True)
class Limit:
    """One number that a user may want to be another."""

    name: str
    value: float
    means: str


DAY_USD: Final = Limit("day_usd", 100, "Dollars that a day may cost.")
RUN_USD: Final = Limit("run_usd", _GRAFANA.run_usd, "Dollars that one run (a trace) may cost.")
UNPRICED: Final = Limit("unpriced_calls", _GRAFANA.unpriced_calls, "Calls in half an hour that may be without a price.")
LOOPS: Final = Limit("loops", _GRAFANA.loops, "Loops in a quarter of an hour that may be found.")
BUDGET_SOFT: Final = Limit("budget_soft", _GRAFANA.budget_soft, "Share of a budget at which to warn.")
BUDGET_FULL: Final = Limit("budget_full", _GRAFANA.budget_full, "Share of a budget at which it is used up.")

LIMITS: Final = (DAY_USD, RUN_USD, UNPRICED, LOOPS, BUDGET_SOFT, BUDGET_FULL)
