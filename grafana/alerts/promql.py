"""Builds the PromQL of alerts."""

from __future__ import annotations

from typing import Final

from grafana.boards.queries import growth
from otel_agentcost.telemetry.signals import WHERE, label

SERVICE: Final = ", ".join(label(name) for name in WHERE)
"""Labels of every series: the service and its environment."""
DAY: Final = "1d"
WEEK: Final = "168h"


def total(labels: str, selector: str, window: str, *, ago: str = "") -> str:
    """Return the total growth of counters in a window by `labels`; first values of new series count."""
    return f"sum by ({labels}) ({growth(selector, window, ago)})"
