"""docs/alerts.md: each alert and each threshold is there, as it is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from grafana.alerts.alert import number
from grafana.alerts.table import alerts
from grafana.alerts.thresholds import Thresholds

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "alerts.md").read_text()


def test_each_alert_has_its_runbook() -> None:
    """A heading for each alert, and for nothing else, where the alert's link leads."""
    assert re.findall(r"^### (Agentcost\w+)$", PAGE, re.MULTILINE) == [one.name for one in alerts(Thresholds())]


def test_each_alert_is_in_the_table_with_its_severity() -> None:
    """The table of alerts is complete and says how bad each is."""
    rows = re.findall(r"^\| \[(Agentcost\w+)\]\(#(\w+)\) \| (\w+) \|", PAGE, re.MULTILINE)
    assert rows == [(one.name, one.name.lower(), one.severity) for one in alerts(Thresholds())]


def test_each_threshold_is_in_the_table_with_its_value() -> None:
    """Name, number and meaning are those of the code."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (one.name, number(getattr(Thresholds(), one.name)), one.metadata["description"])
        for one in dataclasses.fields(Thresholds)
    ]
