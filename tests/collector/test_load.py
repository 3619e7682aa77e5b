"""A real collector at full load, under floods, and fed the same batch twice."""

from __future__ import annotations

import math
import random
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.collector.real_collector import Setup, call, running, span, trace_id, traces
from tools.collector import send

FILES = ("metrics.yaml", "runs.yaml", "agent.yaml", "backends/prometheus-scrape.yaml")
STREAMS = 2000


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A collector with few series to spare."""
    few = {"AGENTCOST_MAX_STREAMS": str(STREAMS), "AGENTCOST_RUN_WINDOW": "1s"}
    with running(tmp_path_factory.mktemp("busy"), FILES, "", **few) as setup:
        yield setup


def test_nothing_is_lost_among_many_senders(busy: Setup) -> None:
    """Sixteen at once, some thousand batches, the same series: what was sent is what was counted, to the cent."""
    chance = random.Random(5)
    batches = [[round(chance.uniform(0.0001, 0.9), 6) for _ in range(10)] for _ in range(1200)]

    def sent(dollars: list[float]) -> None:
        other = [span(trace_id(), {"http.route": "/"}) for _ in range(10)]
        send(busy.otlp, traces([*(call(trace_id(), usd) for usd in dollars), *other], "load"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(sent, batches))
    wanted = math.fsum(usd for batch in batches for usd in batch)
    assert busy.until("gen_ai_client_operation_cost_count", 12_000, service_name="load") == 12_000
    assert busy.total("agentcost_cost_total", service_name="load") == pytest.approx(wanted, abs=0.001)
    assert busy.until("agentcost_trace_cost_count", 12_000, service_name="load") == 12_000
    assert busy.total("agentcost_trace_cost_sum", service_name="load") == pytest.approx(wanted, abs=0.001)
    assert _refused(busy) == 0


def test_a_batch_that_is_sent_twice_is_counted_twice(busy: Setup) -> None:
    """A sender that repeats what had arrived pays for it: a collector does not remember spans."""
    batch = traces([call(trace_id(), 0.25)], "twice")
    send(busy.otlp, batch)
    send(busy.otlp, batch)
    assert busy.until("agentcost_cost_total", 0.5, service_name="twice") == 0.5


def test_a_flood_of_models_and_users_does_not_fill_the_memory(busy: Setup) -> None:
    """100,000 of them: as many series as are allowed, the rest counted as refused, and old series go on."""
    busy.send(call(trace_id(), 0.5), service="regular")
    assert busy.until("agentcost_cost_total", 0.5, service_name="regular") == 0.5
    before = _resident(busy)
    for start in range(0, 100_000, 10_000):
        trace = trace_id()
        flood = [
            call(trace, 0.01, model=f"model-{number}-{'x' * 50}", more={"user.id": f"user-{number}"})
            for number in range(start, start + 10_000)
        ]
        send(busy.otlp, traces(flood, "flood"))
    busy.send(call(trace_id(), 0.25), service="regular")
    assert busy.until("agentcost_cost_total", 0.75, service_name="regular") == 0.75
    assert busy.until("otelcol_deltatocumulative_streams_tracked", STREAMS, own=True) == STREAMS
    assert _refused(busy) > 100_000
    assert len({labels for name, labels in busy.samples() if name == "agentcost_cost_total"}) <= STREAMS
    assert _resident(busy) - before < 400


def test_more_runs_than_memory_are_refused_and_not_dropped(tmp_path: Path) -> None:
    """Senders are told to come again; what was taken is counted, and the collector goes on."""
    waits = {"AGENTCOST_MEMORY_MIB": "150", "AGENTCOST_RUN_WINDOW": "4s"}
    with running(tmp_path, FILES, "", **waits) as setup:
        answers: list[int] = []
        while answers.count(503) < 2 and len(answers) < 40:
            answers.append(_sent(setup))
        assert 503 in answers
        taken = 3_000 * answers.count(200)
        assert setup.until("agentcost_trace_cost_count", taken, service_name="runs") == taken
        assert setup.total("gen_ai_client_operation_cost_count", service_name="runs") == taken


def _sent(setup: Setup) -> int:
    """Sends three thousand runs; the status of the answer."""
    try:
        setup.send(*(call(trace_id(), 0.01) for _ in range(3_000)), service="runs")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def _refused(setup: Setup) -> float:
    """The points that the collector says it did not add to any series."""
    return sum(
        value
        for (name, labels), value in setup.samples(own=True).items()
        if name == "otelcol_deltatocumulative_datapoints" and dict(labels).get("error")
    )


def _resident(setup: Setup) -> float:
    """Megabytes that the collector has in memory."""
    status = Path(f"/proc/{setup.collector.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
