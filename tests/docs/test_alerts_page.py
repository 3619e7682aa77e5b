"""docs/alerts.md: each alert and each threshold is there, as it is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from grafana.alerts.alert import number
from grafana.alerts.table import alerts
from grafana.alerts.thresholds import Thresholds

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "alerts.md").read_text()
IN_WORDS = {18: "eighteen", 19: "nineteen", 20: "twenty", 21: "twenty-one", 22: "twenty-two"}


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


def test_the_number_of_alerts_is_said_right() -> None:
    """In the README and where the boards are introduced."""
    said = f"{IN_WORDS[len(alerts(Thresholds()))]} [alerts]"
    assert said in (ROOT / "README.md").read_text()
    assert said in (ROOT / "docs" / "usage.md").read_text()
