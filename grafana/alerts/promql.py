"""PromQL of alerts: growth by the labels that every series of ours has."""

from __future__ import annotations

from typing import Final

from grafana.boards.queries import grew
from otel_agentcost.telemetry.signals import WHERE, label

PLACE: Final = ", ".join(label(name) for name in WHERE)
"""Which service, and where it runs."""
DAY: Final = "1d"
WEEK: Final = "168h"


def total(labels: str, selector: str, window: str, *, ago: str = "") -> str:
    """By how much counters grew in a window, together, by `labels`; what new series began with included."""
    return f"sum by ({labels}) ({grew(selector, window, ago)})"
