"""The rules of alerts: Prometheus takes them, each fires and does not fire, and Grafana asks the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.alerts.alert import GROUPS
from grafana.alerts.collector_metrics import ALL
from grafana.alerts.files import GRAFANA, PROMETHEUS, files
from grafana.alerts.table import alerts
from grafana.alerts.thresholds import Thresholds, changed
from otel_agentcost.telemetry.signals import SIGNALS, WHERE, label

ROOT = Path(__file__).resolve().parents[3] / "grafana"
CASES = sorted((ROOT / "alerts").glob("prometheus-tests-*.yaml"))
ALERTS = alerts(Thresholds())
WORDS = {
    "and", "or", "unless", "on", "by", "group_left", "offset", "sum", "max", "avg", "count", "increase", "round",
    "min_over_time", "last_over_time", "present_over_time", "label_replace", "clamp_min", "histogram_quantile",
    "resets",
}  # fmt: skip
OF_THE_QUERY = {"le", "born", "week", "of", "__name__"}
OF_THE_COLLECTOR = {"error", "exporter", "receiver"}


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on the path: apt install prometheus")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", [PROMETHEUS, GRAFANA])
def test_the_committed_files_are_what_the_table_makes(path: str) -> None:
    """The rules in the repository are those of the table: run `python -m grafana.alerts` after a change."""
    assert (ROOT / path).read_text() == files(ALERTS)[path]


def test_prometheus_takes_the_rules() -> None:
    """`promtool check rules` finds nothing wrong, and as many rules as the table has alerts."""
    said = promtool("check", "rules", str(ROOT / PROMETHEUS))
    assert said.returncode == 0, said.stderr + said.stdout
    assert f"{len(ALERTS)} rules found" in said.stdout


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_the_rules_fire_when_they_should(cases: Path) -> None:
    """`promtool test rules`: series that begin with a value, resets, missing labels, no data."""
    said = promtool("test", "rules", str(cases))
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_alert_is_seen_firing_and_not_firing() -> None:
    """No alert is without a case of either kind."""
    seen: dict[str, set[bool]] = defaultdict(set)
    for path in CASES:
        for group in yaml.safe_load(path.read_text())["tests"]:
            for case in group["promql_expr_test"]:
                if found := re.fullmatch(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}', case["expr"]):
                    seen[found[1]].add(bool(case["exp_samples"]))
    assert seen == {alert.name: {True, False} for alert in ALERTS}


def test_grafana_asks_what_prometheus_asks() -> None:
    """Query, comparison, threshold, patience and words of both are the same."""
    ours = [rule for group in read(PROMETHEUS)["groups"] for rule in group["rules"]]
    theirs = [rule for group in read(GRAFANA)["groups"] for rule in group["rules"]]
    assert len(ours) == len(theirs) == len(ALERTS)
    for prometheus, grafana in zip(ours, theirs, strict=True):
        asked, condition = (node["model"] for node in grafana["data"])
        assert prometheus["alert"] == grafana["title"]
        assert prometheus["expr"] == condition["expression"].replace("$A", asked["expr"])
        assert prometheus["for"] == grafana["for"]
        assert prometheus["labels"] == grafana["labels"]
        said = {key: text.replace("$values.A.Value", "$value") for key, text in grafana["annotations"].items()}
        assert prometheus["annotations"] == said


def test_grafana_rules_have_all_that_file_provisioning_needs() -> None:
    """Ids that are unique and short, a folder, an interval, and a condition that is one of the nodes."""
    document = read(GRAFANA)
    assert document["apiVersion"] == 1
    ids = []
    for group in document["groups"]:
        assert group["folder"] == "agentcost"
        assert group["interval"] == GROUPS[group["name"]]
        for rule in group["rules"]:
            ids.append(rule["uid"])
            nodes = {node["refId"]: node for node in rule["data"]}
            assert nodes[rule["condition"]]["datasourceUid"] == "__expr__"
            assert nodes["A"]["datasourceUid"] == nodes["A"]["model"]["datasource"]["uid"] == "prometheus"
            assert all(node["relativeTimeRange"]["from"] > 0 for node in rule["data"])
            assert (rule["noDataState"], rule["execErrState"]) == ("OK", "Error")
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z-]{1,39}", one) for one in ids)


def test_templates_have_one_dollar() -> None:
    """Grafana fills in no environment variables in annotations, so a doubled dollar would stay doubled there."""
    assert "$$" not in (ROOT / GRAFANA).read_text()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_metrics_and_labels_are_of_the_table(alert: Any) -> None:
    """No query, and no summary, has a metric or a label that nobody emits."""
    series = {
        signal.prometheus + part: {label(name) for name in (*WHERE, *signal.attributes)}
        for signal in SIGNALS
        for part in (("_bucket", "_count", "_sum") if signal.kind == "histogram" else ("",))
    }
    bare = re.sub(r'"[^"]*"', '""', alert.query)
    words = set(re.findall(r"[a-zA-Z_]\w*", re.sub(r"\d+[smhdw]\b|\b(\d+[a-z])+\b", "", bare)))
    metrics = words & series.keys()
    known = set().union(*(series[metric] for metric in metrics)) if metrics else OF_THE_COLLECTOR
    assert words - WORDS - metrics - OF_THE_QUERY <= known
    assert metrics or any(f"{name}(_total)?" in alert.query for name in ALL)
    grouped = set(re.findall(r"\w+", ",".join(re.findall(r"(?:by|on) \(([^)]*)\)", alert.query))))
    assert set(re.findall(r"\{(\w+)\}", alert.summary)) - {"value"} <= grouped
    assert "{value}" in alert.summary or alert.name == "AgentcostBreakerOpen"


def test_a_threshold_is_changed_by_its_name() -> None:
    """`--set` reaches the rules of both; an unknown name, and a run's dollars that no bucket ends at, are refused."""
    made = files(alerts(changed(["day_ratio=7", "run_usd=0.5"])))
    assert 'le=~"0[.]5|0[.]5"' in made[PROMETHEUS]
    assert all("> 7" in text for text in made.values())
    with pytest.raises(ValueError, match="unknown threshold: day_ration"):
        changed(["day_ration=7"])
    with pytest.raises(ValueError, match=r"run_usd must be one of 0\.0001, "):
        changed(["run_usd=7"])
