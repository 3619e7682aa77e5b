"""What a real Collector writes with `backends/file.yaml` adds up, as it is, rotated, or compressed by the exporter."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.questions import Question, Spend
from otel_agentcost.store.sources import open_source
from tests.collector.real_collector import call, running, span, tool, trace_id
from tests.support import prometheus

FILES = ("metrics.yaml", "agent.yaml", "backends/file.yaml")


@pytest.mark.parametrize("extra", ["", "exporters: {file/agentcost: {compression: zstd}}"], ids=["plain", "zstd"])
def test_the_files_of_a_collector(tmp_path: Path, extra: str) -> None:
    """Calls with and without a price, and a tool; other spans are not there."""
    file = tmp_path / "spans.json"
    with running(tmp_path / "collector", FILES, extra, AGENTCOST_FILE=str(file)) as collector:
        trace = trace_id()
        for number in range(20):
            collector.send(call(trace, 1e-7 * (number + 1), more={"gen_ai.agent.name": f"a{number % 2}"}))
        collector.send(call(trace, None), tool(trace, "fetch", "{}"), span(trace, {"http.request.method": "GET"}))
        collector.send(*(call(trace, 0.1) for _ in range(3)), service="other")
    found = _settled(f"otlp://{file}")
    assert (found.total.calls, found.total.tools, found.total.unpriced) == (24, 1, 1)
    assert found.total.nusd == 300_000_000 + 100 * 210
    assert {line.keys[0]: line.sums.nusd for line in found} == {"a0": 10_000, "a1": 11_000, "": 300_000_000}
    text = file.read_bytes()
    assert b"http.request.method" not in text
    assert (text[4:8] == b"\x28\xb5\x2f\xfd") == bool(extra)


def _settled(url: str) -> Spend:
    """The answer, once the Collector has written everything, or after some seconds."""
    deadline = time.monotonic() + 15
    while True:
        try:
            found = open_source(url).spend(Question(by=("agent",)))
        except AgentCostError:  # the file is not there yet, or its last line is being written
            assert time.monotonic() < deadline
        else:
            if found.total.calls == 24 or time.monotonic() > deadline:
                return found
        time.sleep(0.2)


def test_the_metrics_of_a_collector(tmp_path: Path) -> None:
    """A Prometheus that scrapes the same Collector has the same dollars, calls and tokens as its file."""
    prometheus.needed()
    file, since = tmp_path / "spans.json", time.time() // 3600 * 3600 - 3600
    files = (*FILES, "backends/prometheus-scrape.yaml")
    with running(tmp_path / "collector", files, AGENTCOST_FILE=str(file)) as collector:
        server = prometheus.Prometheus(tmp_path / "p", scrape=[f"127.0.0.1:{collector.prometheus}"]).start()
        try:
            for number in range(24):
                who = {"gen_ai.agent.name": f"a{number % 2}", "gen_ai.usage.input_tokens": 100 + number}
                collector.send(call(trace_id(), 1e-6 * number if number % 3 else None, more=who))
            spans = _settled(f"otlp://{file}")
            url = server.url.replace("http://", "prometheus://")
            deadline = time.monotonic() + 15
            while True:
                metrics = open_source(url).spend(Question(by=("agent",), since=since))
                if metrics.total.calls == 24 or time.monotonic() > deadline:
                    break
                time.sleep(0.3)
        finally:
            server.stop()
    assert (metrics.total.nusd, metrics.total.calls, metrics.total.input) == (spans.total.nusd, 24, spans.total.input)
    assert metrics.total.unpriced == spans.total.unpriced == 8
    dollars = {line.keys: (line.sums.nusd, line.sums.input) for line in spans}
    assert {line.keys: (line.sums.nusd, line.sums.input) for line in metrics if line.keys != ("(any)",)} == dollars
