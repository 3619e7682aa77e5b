"""The table of alerts: all of them, with given thresholds."""

from __future__ import annotations

from grafana.alerts.calls import from_calls
from grafana.alerts.collector import from_collector
from grafana.alerts.kind import Alert
from grafana.alerts.money import from_money
from grafana.alerts.thresholds import Thresholds


def alerts(limits: Thresholds) -> tuple[Alert, ...]:
    """Each alert, those about money first."""
    return (*from_money(limits), *from_calls(limits), *from_collector(limits))
