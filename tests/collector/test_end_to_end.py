"""From an application to the boards: spans and metrics by OTLP, a real collector with all our files, a real Prometheus
that scrapes it, and the boards' own queries. What they say are the dollars of the spans, and nothing is counted twice.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grafana.boards import queries
from grafana.preview.board import DASHBOARDS, TimeRange, interpolate, read, variable_values
from grafana.preview.frames import prometheus_queries, run_query
from otel_agentcost.collector.files import files
from otel_agentcost.core import semconv
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.pricebook import open_book
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.signals import Signal
from tests.collector.real_collector import needed, span, trace_id, traces
from tests.support import prometheus
from tests.support.prometheus import Prometheus
from tools.collector import Collector, free_ports, send, spans_in

FILES = ("pricing.yaml", "metrics.yaml", "runs.yaml", "agent.yaml", "backends/prometheus-scrape.yaml")
CENT = 0.005
_KEEP = """
exporters: {file/test: {path: "%s"}}
service:
  pipelines: {traces/test: {receivers: [forward/agentcost_traces], exporters: [file/test]}}
"""


@dataclass(frozen=True)
class Fleet:
    """What runs: where applications send to, what they sent, and who is asked."""

    otlp: int
    spans: Path
    prometheus: Prometheus

    def dollars_of_spans(self, service: str) -> float:
        """The sum over the spans that came out of the collector."""
        return math.fsum(
            one["attributes"].get(semconv.COST, 0.0)
            for one in spans_in(self.spans)
            if one["resource"].get("service.name") == service
            and one["attributes"].get(semconv.OPERATION) not in semconv.AGENT_OPERATIONS
        )

    def counted(self, signal: Signal, service: str) -> float:
        """What the counters of a service stand at."""
        expression = f'sum({signal.prometheus}{{service_name="{service}"}}) or vector(0)'
        return self.prometheus.value(expression, time.time())

    def board(self, expression: str, service: str) -> float:
        """What a board says when that service is chosen, over the last ten minutes."""
        span = TimeRange(end=time.time(), seconds=600, scrape=1)
        given = dict.fromkeys(queries.VARIABLES, ".*") | {"service": service} | span.built_in()
        return self.prometheus.value(interpolate(expression, given), span.end)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A collector with the files that `agentcost collector-config --write` writes, and a Prometheus."""
    needed()
    prometheus.needed()
    folder = tmp_path_factory.mktemp("fleet")
    for path, text in files(open_book()).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    otlp, grpc, scraped, telemetry = free_ports(4)
    spans = folder / "spans.json"
    (folder / "keep.yaml").write_text(_KEEP % spans)
    environment = {
        "AGENTCOST_OTLP_HTTP_PORT": str(otlp), "AGENTCOST_OTLP_GRPC_PORT": str(grpc),
        "AGENTCOST_PROMETHEUS_HOST": "127.0.0.1", "AGENTCOST_PROMETHEUS_PORT": str(scraped),
        "AGENTCOST_TELEMETRY_PORT": str(telemetry), "AGENTCOST_RUN_WINDOW": "1s",
    }  # fmt: skip
    collector = Collector(folder, [folder / name for name in (*FILES, "keep.yaml")], environment)
    server = Prometheus(folder / "prometheus", scrape=[f"127.0.0.1:{scraped}"])
    try:
        collector.start(otlp)
        yield Fleet(otlp, spans, server.start())
    finally:
        server.stop()
        collector.stop()


def until(found: Callable[[], float], wanted: Callable[[], float], tolerance: float) -> tuple[float, float]:
    """Waits for two figures to agree, and returns them, whether they do or not."""
    deadline = time.monotonic() + 30
    while True:
        one, other = found(), wanted()
        if abs(one - other) <= tolerance or time.monotonic() > deadline:
            return one, other
        time.sleep(0.5)


@pytest.fixture(scope="module")
def demo(fleet: Fleet) -> str:
    """The demo has run: the package in an application, which sends its spans and its own metrics. Its service."""
    program = "import sys; from otel_agentcost.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "demo", "--fast", "--otlp", f"http://127.0.0.1:{fleet.otlp}"]
    ours = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    done = subprocess.run(command, capture_output=True, text=True, env=ours, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return "agentcost-demo"


def test_an_application_with_the_package_is_counted_once(fleet: Fleet, demo: str) -> None:
    """It sends spans and metrics: the boards' total is the sum of its spans' dollars, not twice that."""
    counted, spent = until(lambda: fleet.counted(signals.COST, demo), lambda: fleet.dollars_of_spans(demo), 1e-9)
    assert spent > 0.05
    assert counted == pytest.approx(spent, abs=1e-9)
    assert fleet.board(queries.total(signals.COST), demo) == pytest.approx(spent, abs=CENT)
    calls = sum(
        one["attributes"].get(semconv.OPERATION) in (semconv.CHAT, semconv.GENERATE_CONTENT)
        for one in spans_in(fleet.spans) if one["resource"]["service.name"] == demo
    )  # fmt: skip
    assert fleet.board(queries.total(signals.DURATION, part="count"), demo) == pytest.approx(calls, abs=0.5)


@dataclass(frozen=True)
class Foreign:
    """A call as an application without the package tells of it, and what it means."""

    said: dict[str, Any]
    provider: str
    model: str
    usage: dict[Kind, int]


FOREIGN = (
    Foreign(  # the conventions of today
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
         "gen_ai.usage.input_tokens": 120_000, "gen_ai.usage.cache_read.input_tokens": 20_000,
         "gen_ai.usage.output_tokens": 9_000, "user.id": "ada"},
        "openai", "gpt-4o", {"input_tokens": 100_000, "cache_read_tokens": 20_000, "output_tokens": 9_000},
    ),
    Foreign(  # OpenLLMetry's
        {"gen_ai.system": "openai", "llm.request.type": "chat", "gen_ai.request.model": "gpt-4o-mini",
         "gen_ai.usage.prompt_tokens": 900_000, "gen_ai.usage.completion_tokens": 70_000},
        "openai", "gpt-4o-mini", {"input_tokens": 900_000, "output_tokens": 70_000},
    ),
    Foreign(  # OpenInference's
        {"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4.1",
         "llm.token_count.prompt": 80_000, "llm.token_count.completion": 5_000},
        "openai", "gpt-4.1", {"input_tokens": 80_000, "output_tokens": 5_000},
    ),
)  # fmt: skip


def test_spans_of_others_come_to_the_boards_with_their_dollars(fleet: Fleet) -> None:
    """Three dialects, no package: by model and in total the price book's dollars; the agent's span adds nothing."""
    book, trace = open_book(), trace_id()
    agent = span(
        trace, {semconv.OPERATION: "invoke_agent", semconv.INPUT_TOKENS: 1_100_000, semconv.OUTPUT_TOKENS: 84_000}
    )
    calls = [span(trace, one.said, parent=agent["spanId"]) for one in FOREIGN]
    send(fleet.otlp, traces([*calls, agent], "foreign"))
    expected = {
        one.model: float(
            book.price(Usage(counts=dict(one.usage)), provider=one.provider, base_url=None, models=(one.model,),
                       at=time.time()).usd or 0)
        for one in FOREIGN
    }  # fmt: skip
    total = math.fsum(expected.values())
    counted, _ = until(lambda: fleet.counted(signals.COST, "foreign"), lambda: total, 1e-9)
    assert counted == pytest.approx(total, abs=1e-9)
    written, _ = until(lambda: fleet.dollars_of_spans("foreign"), lambda: total, 1e-9)  # the file is written in batches
    assert written == pytest.approx(total, abs=1e-9)
    assert fleet.board(queries.total(signals.COST), "foreign") == pytest.approx(total, abs=CENT)
    for model, usd in expected.items():
        where = queries.equals(semconv.REQUEST_MODEL, model)
        assert fleet.board(queries.total(signals.COST, queries.RANGE, where), "foreign") == pytest.approx(usd, abs=CENT)
    by_run, _ = until(
        lambda: fleet.board(queries.total(signals.TRACE_COST, part="sum"), "foreign"), lambda: total, CENT
    )
    assert by_run == pytest.approx(total, abs=CENT)


def test_every_query_of_every_board_is_answered(fleet: Fleet, demo: str) -> None:
    """By a Prometheus that has what the collector exposes: none is an error, and the overview's numbers are there."""
    del demo
    span = TimeRange(end=time.time(), seconds=600, scrape=1)
    number = 0
    for path in sorted(DASHBOARDS.glob("*.json")):
        one = read(path)
        values = variable_values(one, span, {})
        for panel in one.panels:
            for query, expression in prometheus_queries(panel, values):
                run_query(query, expression, fleet.prometheus, span)
                number += 1
    print(f"{number} queries")
    assert number > 0


RECORDED = sorted((Path(__file__).parent / "foreign").glob("*.json"))
UNSEEN = {"google-adk-1.14.1": "its spans do not say which operation they are, and name no provider that sells models"}
"""Recordings without a priced or an unpriced call, each with the reason."""


def test_recorded_spans_of_other_instrumentations_come_to_the_boards(fleet: Fleet) -> None:
    """Each recording as a service of its own: the board's dollars, and its calls without a price, are its spans'."""
    sent = 0
    for path in RECORDED:
        for scenario in json.loads(path.read_text()):
            for resource in scenario["resourceSpans"]:
                service = {"key": "service.name", "value": {"stringValue": path.stem}}
                resource["resource"]["attributes"] = [service]
                sent += sum(len(scope["spans"]) for scope in resource["scopeSpans"])
            send(fleet.otlp, {"resourceSpans": scenario["resourceSpans"]})
    names_of = {path.stem for path in RECORDED}
    came, _ = until(lambda: _spans_of(fleet, names_of), lambda: sent, 0)
    assert came == sent
    wrong = [text for name in sorted(names_of) if (text := _disagreement(fleet, name))]
    assert not wrong
    print(f"{len(RECORDED)} recordings, {sent} spans")
    assert len(RECORDED) >= 6


def _spans_of(fleet: Fleet, services: set[str]) -> float:
    return sum(one["resource"].get("service.name") in services for one in spans_in(fleet.spans))


def _disagreement(fleet: Fleet, service: str) -> str:
    """What boards and spans of a service do not agree on; empty where they do."""
    spent = fleet.dollars_of_spans(service)
    unpriced = sum(
        semconv.UNPRICED in one["attributes"]
        for one in spans_in(fleet.spans) if one["resource"].get("service.name") == service
    )  # fmt: skip
    if not spent and not unpriced and service not in UNSEEN:
        return f"{service}: no span has dollars, or says why not"
    for signal, expected, tolerance in (signals.COST, spent, CENT), (signals.UNPRICED, float(unpriced), 0.5):
        counted, _ = until(functools.partial(fleet.counted, signal, service), functools.partial(float, expected), 1e-9)
        said = fleet.board(queries.or_zero(queries.total(signal)), service)
        if abs(counted - expected) > 1e-9 or abs(said - expected) > tolerance:
            return f"{service}: {expected} of {signal.name}, {counted} counted, and the board says {said}"
    return ""
