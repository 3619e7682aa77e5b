"""Prometheus 3, which takes OTLP: boards and `agentcost spend`, straight from the package and through a Collector."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import otel_agentcost
from grafana.boards import queries
from grafana.preview.board import DASHBOARDS, TimeRange, interpolate, read, variable_values
from grafana.preview.frames import prometheus_queries, run_query
from otel_agentcost import Settings, runtime
from otel_agentcost.store.questions import Question, Spend
from otel_agentcost.store.sources import open_source
from otel_agentcost.telemetry import signals
from tests.collector.real_collector import call, running, trace_id
from tests.support.budgeted_calls import answering, ask, client
from tests.support.model_server import ModelServer
from tests.support.prometheus import Prometheus
from tools import prometheus
from tools.collector import free_ports

CENT = 0.005


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One server for both ways."""
    program = prometheus.find()
    if program is None:
        pytest.skip("no Prometheus 3 is built here: python -m tools.prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    running = Prometheus(folder, options=["--web.enable-otlp-receiver"], program=str(program))
    yield running.start()
    running.stop()


@pytest.fixture
def straight(server: Prometheus, model_server: ModelServer, tmp_path: Path) -> Iterator[Spend]:
    """What the store has of calls of an application that sends its metrics to the server."""
    store = f"sqlite:///{tmp_path}/spend.db"
    exporter = OTLPMetricExporter(f"{server.url}/api/v1/otlp/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000)
    meters = MeterProvider([reader], resource=Resource({"service.name": "straight"}))
    runtime.start(tracer_provider=TracerProvider(), meter_provider=meters, settings=Settings(record=store))
    answering(model_server)
    try:
        with client(model_server) as made:
            for number in range(12):
                with otel_agentcost.attribute(agent=f"a{number % 3}"):
                    ask(made, model=("gpt-4o", "gpt-4o-mini", "inert-model-of-this-test")[number % 3])
        otel_agentcost.uninstrument()
        yield open_source(store).spend(Question(by=("agent", "model")))
    finally:
        otel_agentcost.uninstrument()
        meters.shutdown()


def asked(server: Prometheus, *by: str, since: float) -> Spend:
    """The answer of the source."""
    return open_source(server.url.replace("http", "prometheus")).spend(Question(by=by, since=since))


def board(server: Prometheus, expression: str, service: str) -> float:
    """What a board says when that service is chosen, over the last ten minutes."""
    span = TimeRange(end=time.time(), seconds=600, scrape=1)
    given = dict.fromkeys(queries.VARIABLES, ".*") | {"service": service} | span.built_in()
    return server.value(interpolate(expression, given), span.end)


def until(found: Any, wanted: float, tolerance: float) -> float:
    """Waits until a figure is right, and returns it, be it right or not."""
    deadline = time.monotonic() + 30
    while True:
        value = float(found())
        if abs(value - wanted) <= tolerance or time.monotonic() > deadline:
            return value
        time.sleep(0.5)


def test_the_package_sends_its_metrics_straight(server: Prometheus, straight: Spend) -> None:
    """Dollars, tokens and calls are those of the store, by agent and model."""
    since = time.time() // 3600 * 3600 - 3600
    total = straight.total
    assert until(lambda: asked(server, since=since).total.nusd, total.nusd, 0) == total.nusd
    found = asked(server, since=since).total
    assert (found.calls, found.unpriced, found.input, found.output) == (
        total.calls,
        total.unpriced,
        total.input,
        total.output,
    )
    mine = {line.keys: line.sums.nusd for line in straight if line.sums.nusd}
    assert {
        line.keys: line.sums.nusd for line in asked(server, "agent", "model", since=since) if line.sums.nusd
    } == mine
    assert server.value(f"sum({signals.COST.prometheus})", time.time()) == pytest.approx(total.nusd / 1e9, abs=1e-12)


def test_a_collector_pushes_its_metrics(server: Prometheus, tmp_path: Path) -> None:
    """With `prometheus-otlp.yaml`, and every panel of every board is answered."""
    [own] = free_ports(1)
    since = time.time() // 3600 * 3600 - 3600
    with ExitStack() as stack:
        environment = {
            "AGENTCOST_SELF_PORT": str(own),
            "AGENTCOST_PUSH_INTERVAL": "1s",
            "AGENTCOST_PROMETHEUS_OTLP_ENDPOINT": f"{server.url}/api/v1/otlp",
        }
        files = ("metrics.yaml", "agent.yaml", "backends/prometheus-otlp.yaml")
        collector = stack.enter_context(running(tmp_path, files, **environment))
        spent = [0.25, 0.125, 0.000000123]
        for usd in spent:
            collector.send(
                call(trace_id(), usd, model="pushed", more={"gen_ai.agent.name": "remote"}), service="pushed"
            )
        wanted = round(math.fsum(spent) * 1e9)

        def of_source() -> int:
            found = asked(server, "agent", since=since)
            return sum(line.sums.nusd for line in found if line.keys == ("remote",))

        assert until(of_source, wanted, 0) == wanted
        said = until(lambda: board(server, queries.total(signals.COST), "pushed"), wanted / 1e9, CENT)
        assert said == pytest.approx(wanted / 1e9, abs=CENT)
        span = TimeRange(end=time.time(), seconds=600, scrape=1)
        number = 0
        for path in sorted(DASHBOARDS.glob("*.json")):
            one = read(path)
            values = variable_values(one, span, {})
            for panel in one.panels:
                for query, expression in prometheus_queries(panel, values):
                    run_query(query, expression, server, span)
                    number += 1
        print(f"{number} queries")
        assert number > 0
