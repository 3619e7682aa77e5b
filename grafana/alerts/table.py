"""The table of all alerts."""

from __future__ import annotations

from grafana.alerts.alert import Alert
from grafana.alerts.bills import bill_alerts
from grafana.alerts.calls import call_alerts
from grafana.alerts.collector import collector_alerts
from grafana.alerts.spend import spend_alerts
from grafana.alerts.thresholds import Thresholds


def alerts(limits: Thresholds) -> tuple[Alert, ...]:
    """Return all alerts with these thresholds, those about spend first."""
    return (*spend_alerts(limits), *call_alerts(limits), *bill_alerts(limits), *collector_alerts(limits))
