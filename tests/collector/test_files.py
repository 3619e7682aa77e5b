"""`collector_config/`: committed as it is written, understood by a real collector in every combination, no secrets."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from otel_agentcost.collector.files import files
from otel_agentcost.pricebook import open_book
from otel_agentcost.telemetry.signals import SIGNALS
from tests.collector.real_collector import SHAPES, STAND_IN, needed
from tools.collector import validate

BASES = (
    ("agent.yaml",),
    ("runs.yaml", "agent.yaml"),
    ("runs.yaml", "gateway.yaml"),
    ("agent.yaml", "coding-agents.yaml"),
    ("runs.yaml", "gateway.yaml", "coding-agents.yaml"),
)
BACKENDS = sorted(f"backends/{path.name}" for path in (SHAPES / "backends").glob("*.yaml"))
KEYS = {
    "GRAFANA_CLOUD_OTLP_ENDPOINT": "https://otlp.example",
    "GRAFANA_CLOUD_AUTHORIZATION": "Basic eA==",
    "HONEYCOMB_API_KEY": "x",
    "DD_API_KEY": "x",
    "AGENTCOST_GATEWAYS": "localhost",
}


def test_the_committed_files_are_what_is_written() -> None:
    """Who changes the generator, a shape or the prices must write the files anew."""
    written = files(open_book())
    committed = {path.relative_to(SHAPES).as_posix() for path in SHAPES.rglob("[!.]*") if path.is_file()}
    assert committed == set(written)
    differing = [path for path, text in written.items() if (SHAPES / path).read_text(encoding="utf-8") != text]
    assert not differing, "agentcost collector-config --write collector_config"


@pytest.mark.parametrize("path", sorted(path for path in files(open_book()) if path.endswith(".yaml")))
def test_a_file_says_what_it_is_for(path: str) -> None:
    """The first lines say it, and with which Collector it works; keys come from the environment alone."""
    text = (SHAPES / path).read_text(encoding="utf-8")
    head = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    assert len(head) > 100
    assert re.search(r"otelcol-contrib 0\.\d+", head)
    for line in text.splitlines():
        if re.search(r"(?i)^\s*(\S*key|authorization|x-honeycomb-team): ", line) and "headers" in text:
            assert "${env:" in line or "{key:" in line or "routing_key" in line, line


def test_every_metric_of_the_collector_is_derived() -> None:
    """The table says what the Collector derives, with which unit and buckets; the files do that and nothing else."""
    made: dict[str, dict[str, object]] = {}
    for file in ("metrics.yaml", "runs.yaml"):
        for connector in yaml.safe_load((SHAPES / file).read_text())["connectors"].values():
            for metric in [*((connector or {}).get("spans") or []), *((connector or {}).get("datapoints") or [])]:
                made[metric["name"]] = metric
    wanted = {signal.name for signal in SIGNALS if signal.collector}
    assert {name for name in made if not name.startswith("agentcost.by_trace.")} == wanted
    for signal in SIGNALS:
        if signal.collector:
            assert made[signal.name]["unit"] == signal.unit
            assert ("sum" in made[signal.name]) == (signal.kind == "counter")


def test_coding_agents_have_no_metrics_of_their_own() -> None:
    """What is derived from their events and metrics has the names, units and labels of the table."""
    connector = yaml.safe_load((SHAPES / "coding-agents.yaml").read_text())["connectors"][
        "signaltometrics/agentcost_agents"
    ]
    table = {signal.name: signal for signal in SIGNALS if signal.collector}
    made = [*connector["logs"], *connector["datapoints"]]
    assert len(made) > len(connector["logs"]) > 0
    for metric in made:
        signal = table[metric["name"]]
        assert metric["unit"] == signal.unit
        assert len(metric["attributes"]) == len(signal.attributes)


def test_a_collector_understands_every_combination(tmp_path: Path) -> None:
    """`otelcol validate` on each base with each backend, and with all of them at once."""
    needed()
    (tmp_path / "prices.yaml").write_text(STAND_IN)
    combinations = [
        [str(tmp_path / "prices.yaml"), *(str(SHAPES / name) for name in ("metrics.yaml", *base, *backends))]
        for base in BASES
        for backends in [*((backend,) for backend in BACKENDS), ()]
    ]
    # Each with a port of its own, which two that push would share: more than one of them is told so by the README.
    combinations.append([str(SHAPES / "gateway-loadbalancer.yaml")])
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda configs: validate(configs, KEYS), combinations))
    assert not [(configs, complaint) for configs, complaint in zip(combinations, said, strict=True) if complaint]
