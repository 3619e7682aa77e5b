"""What a Collector says of itself has the names that the alerts about it ask for."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator

import pytest

from grafana.alerts import collector_metrics as metrics
from tests.collector import real_collector
from tools.collector import Collector, free_ports, send

_TROUBLE = """
exporters:
  # Nobody listens, nothing is tried again, and hardly anything is held meanwhile.
  otlphttp/agentcost_traces: {retry_on_failure: {enabled: false}}
  otlphttp/agentcost_prometheus: {retry_on_failure: {enabled: false}}
  otlphttp/full: {endpoint: "http://192.0.2.1:9", sending_queue: {queue_size: 1, num_consumers: 1}}
service:
  pipelines:
    traces/full: {receivers: [forward/agentcost_traces], exporters: [otlphttp/full]}
    metrics/full: {receivers: [forward/agentcost_metrics], exporters: [otlphttp/full]}
"""
_PARTS = ("metrics.yaml", "agent.yaml", "runs.yaml", "backends/otlp.yaml", "backends/prometheus-otlp.yaml")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics of a Collector in trouble: too many series, too many runs, and backends that do not answer."""
    real_collector.needed()
    folder = tmp_path_factory.mktemp("own")
    (folder / "prices.yaml").write_text(real_collector.STAND_IN)
    (folder / "trouble.yaml").write_text(_TROUBLE)
    grpc, http, telemetry, itself, dead = free_ports(5)
    environment = {
        "AGENTCOST_OTLP_GRPC_PORT": str(grpc), "AGENTCOST_OTLP_HTTP_PORT": str(http),
        "AGENTCOST_TELEMETRY_PORT": str(telemetry), "AGENTCOST_SELF_PORT": str(itself),
        "AGENTCOST_TRACES_ENDPOINT": f"http://127.0.0.1:{dead}", "AGENTCOST_PUSH_INTERVAL": "1s",
        "AGENTCOST_PROMETHEUS_OTLP_ENDPOINT": f"http://127.0.0.1:{dead}",
        "AGENTCOST_MAX_STREAMS": "5",
    }  # fmt: skip
    files = [folder / "prices.yaml", *(real_collector.SHAPES / part for part in _PARTS), folder / "trouble.yaml"]
    collector = Collector(folder, files, environment)
    try:
        collector.start(http)
        for _ in range(8):
            calls = [
                real_collector.call(real_collector.trace_id(), 0.01, model=f"model-{number}") for number in range(20)
            ]
            send(http, real_collector.traces(calls))
            time.sleep(0.3)
        send(http, {"resourceMetrics": []}, "metrics")
        yield _when_complete(telemetry)
    finally:
        collector.stop()


def _when_complete(port: int) -> str:
    """Its metrics, once what it tried has failed: at most ten seconds from now."""
    deadline = time.monotonic() + 10
    while True:
        text = str(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read(), "utf-8")
        if metrics.POINTS_NOT_SENT in text or time.monotonic() > deadline:
            return text
        time.sleep(0.3)


@pytest.mark.parametrize("name", metrics.ALL)
def test_the_collector_says_it_by_that_name(said: str, name: str) -> None:
    """Each counter that an alert looks at is there, by the name that is asked for, with or without `_total`."""
    assert re.search(rf"^{name}(_total)?[ {{]", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "label"),
    [(metrics.DELTA_POINTS, 'error="limit"'), (metrics.SPANS_NOT_SENT, 'exporter="otlphttp/agentcost_traces"')],
)
def test_what_was_lost_is_counted_with_the_label_that_alerts_show(said: str, name: str, label: str) -> None:
    """A Collector that drops points, or cannot send, says how many and where."""
    found = re.search(rf"^{name}(?:_total)?{{[^}}]*{label}[^}}]*}} (\S+)$", said, re.MULTILINE)
    assert found is not None
    assert float(found[1]) > 0
