"""The files that are made from the table: rules for Prometheus, and for Grafana's own alerting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from grafana.alerts.kind import GROUPS, Alert, number

PROMETHEUS: Final = "alerts/prometheus-rules.yaml"
GRAFANA: Final = "provisioning/alerting/rules.yaml"
_HEAD: Final = "# Written by `python -m grafana.alerts` from its table of alerts: change that, not this file.\n"
_SHOWN: Final = {
    "dollars": 'printf "%.2f" {0}', "share": "humanizePercentage {0}", "times": 'printf "%.1f" {0}',
    "count": 'printf "%.0f" {0}',
}  # fmt: skip


def files(
    alerts: Sequence[Alert], *, datasource: str = "prometheus", runbook: str = "docs/alerts.md"
) -> dict[str, str]:
    """The text of each file, by its path under `grafana/`. `runbook`: where docs/alerts.md is to be read."""
    return {
        PROMETHEUS: _HEAD + _yaml({"groups": [_rules(group, alerts, runbook) for group in GROUPS]}),
        GRAFANA: _HEAD
        + "# Dollar signs of templates stay single: Grafana fills in environment variables elsewhere, but not here.\n"
        + _yaml({"apiVersion": 1, "groups": [_managed(group, alerts, datasource, runbook) for group in GROUPS]}),
    }


def _rules(group: str, alerts: Sequence[Alert], runbook: str) -> dict[str, Any]:
    rules = [
        {
            "alert": alert.name,
            "expr": alert.rule,
            "for": alert.hold,
            "labels": {"severity": alert.severity},
            "annotations": _annotations(alert, "$value", runbook),
        }
        for alert in alerts
        if alert.group == group
    ]
    return {"name": group, "interval": GROUPS[group], "rules": rules}


def _managed(group: str, alerts: Sequence[Alert], datasource: str, runbook: str) -> dict[str, Any]:
    rules = [
        {
            "uid": alert.uid,
            "title": alert.name,
            "condition": "B",
            "data": [_query(alert, datasource), _condition(alert)],
            # A series that has never been counted is no fault: most of what alerts look for is rare.
            "noDataState": "OK",
            # A question that cannot be answered is told, as an alert of its own.
            "execErrState": "Error",
            "for": alert.hold,
            "labels": {"severity": alert.severity},
            "annotations": _annotations(alert, "$values.A.Value", runbook),
        }
        for alert in alerts
        if alert.group == group
    ]
    return {"orgId": 1, "name": group, "folder": "agentcost", "interval": GROUPS[group], "rules": rules}


def _query(alert: Alert, datasource: str) -> dict[str, Any]:
    model = {
        "refId": "A", "datasource": {"type": "prometheus", "uid": datasource}, "editorMode": "code",
        "expr": alert.query, "instant": True, "range": False, "intervalMs": 60000, "maxDataPoints": 43200,
    }  # fmt: skip
    # The windows stand in the query: this range bounds only how old a sample may be.
    return {"refId": "A", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": datasource, "model": model}


def _condition(alert: Alert) -> dict[str, Any]:
    """Math, and not a threshold node: those of Grafana 10 and 11 do not know `>=`."""
    model = {
        "refId": "B", "datasource": {"type": "__expr__", "uid": "__expr__"}, "type": "math",
        "expression": f"$A {alert.comparison} {number(alert.threshold)}",
    }  # fmt: skip
    return {"refId": "B", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "__expr__", "model": model}


def _annotations(alert: Alert, value: str, runbook: str) -> dict[str, str]:
    return {
        "summary": _filled(alert.summary, "{{ " + _SHOWN[alert.shown].format(value) + " }}"),
        "description": alert.means,
        "runbook_url": f"{runbook}#{alert.name.lower()}",
    }


def _filled(text: str, value: str) -> str:
    """Markers of the table as Go's templates write them; both Prometheus and Grafana have `$labels`."""
    return re.sub(r"\{(\w+)\}", lambda found: _marker(found[1], value), text)


def _marker(name: str, value: str) -> str:
    return value if name == "value" else f"{{{{ $labels.{name} }}}}"


def _yaml(document: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000))
