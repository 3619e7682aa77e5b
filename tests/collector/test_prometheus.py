"""From spans to a query's dollars, through a real collector and a real Prometheus, scraped and pushed to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.collector.real_collector import Setup, call, running, trace_id
from tests.support import prometheus
from tools.collector import free_ports

COST = "sum(increase({0}[1h]))"
BORN = "(min_over_time({0}[1h]) unless ({0} offset 1h))"
CURED = f"sum((increase({{0}}[1h]) + {BORN}) or {BORN} or increase({{0}}[1h]))"
SPENT = 'agentcost_cost_total{service_name="cron"}'

# Prometheus before 3.0 takes no OTLP: what is pushed comes by remote write, with the same translation of names.
BY_REMOTE_WRITE = """
exporters: {prometheusremotewrite/test: {endpoint: "http://127.0.0.1:@PORT@/api/v1/write"}}
service: {pipelines: {metrics/agentcost_prometheus_otlp: {exporters: [prometheusremotewrite/test]}}}
"""


@dataclass
class Way:
    """A collector, and a Prometheus that has its metrics."""

    collector: Setup
    prometheus: prometheus.Prometheus


@pytest.fixture(scope="module", params=["scraped", "pushed"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Both ways to Prometheus."""
    prometheus.needed()
    folder = tmp_path_factory.mktemp(request.param)
    files = ["metrics.yaml", "agent.yaml", "backends/prometheus-scrape.yaml", "backends/prometheus-otlp.yaml"]
    [own] = free_ports(1)
    with ExitStack() as stack:
        if request.param == "pushed":
            server = prometheus.Prometheus(folder / "p", options=["--web.enable-remote-write-receiver"]).start()
            stack.callback(server.stop)
            extra = BY_REMOTE_WRITE.replace("@PORT@", server.url.rpartition(":")[2])
            environment = {"AGENTCOST_SELF_PORT": str(own), "AGENTCOST_PUSH_INTERVAL": "1s"}
            collector = stack.enter_context(running(folder / "c", files, extra, **environment))
        else:
            collector = stack.enter_context(running(folder / "c", files[:3]))
            server = prometheus.Prometheus(folder / "p", scrape=[f"127.0.0.1:{collector.prometheus}"]).start()
            stack.callback(server.stop)
        yield Way(collector, server)


def test_short_lived_processes_lose_nothing(way: Way) -> None:
    """Forty jobs make one call each: plain increase() sees no dollar of them, the cured form sees every cent."""
    for number in range(40):
        way.collector.send(call(trace_id(), 0.25, more={"user.id": f"job-{number}"}), service="cron")
    assert _settled(way, CURED.format(SPENT), 10.0) == pytest.approx(10.0, abs=0.01)
    time.sleep(2)  # increase() says nothing of a series of one point
    assert way.prometheus.value(COST.format(SPENT), time.time()) == pytest.approx(0.0, abs=0.01)


def test_an_idle_series_is_still_there_when_it_goes_on(way: Way) -> None:
    """Its points are said again and again, so that its next dollar is an increase and not a birth."""
    for usd in (0.5, 0.25):
        way.collector.send(call(trace_id(), usd, more={"user.id": "rare"}), service="rare")
        assert _settled(way, 'agentcost_cost_total{service_name="rare"}', usd if usd == 0.5 else 0.75) > 0
        time.sleep(1.5)
    points = way.prometheus.value('count_over_time(agentcost_cost_total{service_name="rare"}[1m])', time.time())
    assert points >= 3


def _settled(way: Way, query: str, wanted: float) -> float:
    """The value of a query, as soon as it is the wanted one, or after some seconds."""
    deadline = time.monotonic() + 15
    while True:
        found = way.prometheus.query(query, time.time())
        value = sum(series.last for series in found)
        if abs(value - wanted) < 0.001 or time.monotonic() > deadline:
            return value
        time.sleep(0.3)
