"""Totals, budgets and loops of whole runs in a real collector, and which traces a gateway keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.real_collector import Setup, call, running, span, tool, trace_id, traces
from tools.collector import send, spans_in

FILES = ("metrics.yaml", "runs.yaml", "gateway.yaml", "backends/prometheus-scrape.yaml")
TO_A_FILE = """
exporters: {file/kept: {path: kept.json, flush_interval: 200ms}}
service: {pipelines: {traces/kept: {receivers: [forward/agentcost_traces], exporters: [file/kept]}}}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A gateway that keeps next to nothing but what it must, with short waits. Each test is a service of its own."""
    waits = {"AGENTCOST_RUN_WINDOW": "1s", "AGENTCOST_DECISION_WAIT": "2500ms", "AGENTCOST_SAMPLE_PERCENT": "0.0001"}
    with running(tmp_path_factory.mktemp("fleet"), FILES, TO_A_FILE, **waits) as setup:
        yield setup


def _kept(setup: Setup, trace: str, seconds: float = 15) -> list[dict[str, object]]:
    """The spans of a trace that were exported, as soon as there are some."""
    deadline = time.monotonic() + seconds
    while True:
        found = [dict(one["attributes"]) for one in spans_in(setup.folder / "kept.json") if one["traceId"] == trace]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def test_a_run_is_added_up_flagged_and_kept(fleet: Setup) -> None:
    """Over budget: counted without its id, flagged on the root, kept; what is cheap is counted and dropped."""
    dear, cheap = trace_id(), trace_id()
    fleet.send(call(dear, 0.4), call(dear, 0.3), service="budget")
    fleet.send(call(dear, 0.45), span(dear, {"http.route": "/ask"}), service="budget")  # in a second batch
    fleet.send(span(cheap, {"http.route": "/ask"}), call(cheap, 0.25), service="budget")
    kept = _kept(fleet, dear)
    assert len(kept) == 4
    root = next(one for one in kept if "http.route" in one)
    assert root["agentcost.trace.cost_usd"] == pytest.approx(1.15, abs=1e-12)
    assert root["agentcost.trace.over_budget"] is True
    assert [one.get("agentcost.trace.over_budget") for one in kept].count(True) == 1
    assert _kept(fleet, cheap, 1) == []
    assert fleet.until("agentcost_trace_cost_count", 2, service_name="budget") == 2
    assert fleet.total("agentcost_trace_cost_sum", service_name="budget") == pytest.approx(1.4, abs=1e-12)
    assert fleet.total("agentcost_trace_over_budget_total", service_name="budget") == 1
    assert fleet.total("agentcost_cost_total", service_name="budget") == pytest.approx(1.4, abs=1e-12)
    assert not [labels for (_, labels) in fleet.samples() if any(dear in value for _, value in labels)]


def test_a_loop_is_counted_once_flagged_and_kept(fleet: Setup) -> None:
    """The same tool with the same arguments, five times in a run; other arguments are another thing."""
    looping, working = trace_id(), trace_id()
    same = [tool(looping, "search", '{"q": "x"}') for _ in range(7)]
    fleet.send(span(looping, {"http.route": "/"}), *same, service="loops")
    other = [tool(working, "search", f'{{"q": {number}}}') for number in range(7)]
    fleet.send(span(working, {"http.route": "/"}), *other, service="loops")
    kept = _kept(fleet, looping)
    assert [one["http.route"] for one in kept if one.get("agentcost.trace.looping")] == ["/"]
    assert _kept(fleet, working, 1) == []
    loops = "agentcost_loop_detections_total"
    assert fleet.until(loops, 1, agentcost_loop_rule="repeat", gen_ai_tool_name="search", service_name="loops") == 1


def test_tool_calls_of_the_package_are_left_to_it(fleet: Setup) -> None:
    """It looks for loops itself, and counts them."""
    same = [tool(trace_id(), "search", "{}")] * 6
    send(fleet.otlp, traces(same, "package", scope="otel_agentcost"))
    fleet.send(call(trace_id(), 0.1), service="package")
    assert fleet.until("agentcost_trace_cost_count", 1, service_name="package") == 1
    assert fleet.total("agentcost_loop_detections_total", service_name="package") == 0


def test_all_dollars_count_for_the_flag_and_only_its_own_for_the_metrics(fleet: Setup) -> None:
    """What the package priced, in another service, brings the run over its budget, and is not counted again."""
    trace = trace_id()
    fleet.send(span(trace, {"gen_ai.operation.name": "chat", "agentcost.cost.usd": 0.9}), service="python")
    fleet.send(call(trace, 0.3), span(trace, {"http.route": "/"}), service="java")
    agent = {"gen_ai.operation.name": "invoke_agent", "agentcost.cost.usd": 50.0}
    calm = trace_id()
    fleet.send(span(calm, agent), call(calm, 0.2), service="java")
    roots = [one for one in _kept(fleet, trace) if "http.route" in one]
    assert roots[0]["agentcost.trace.over_budget"] is True
    assert fleet.until("agentcost_trace_cost_sum", 0.5, service_name="java") == pytest.approx(0.5, abs=1e-12)
    assert fleet.total("agentcost_cost_total", service_name="python") == 0
    assert fleet.total("agentcost_trace_over_budget_total", service_name="java") == 0


def test_a_run_that_goes_on_is_counted_by_window(fleet: Setup) -> None:
    """A trace that does not end holds nothing up: each window of it is a run, and no dollar is lost."""
    trace = trace_id()
    for _ in range(3):
        fleet.send(call(trace, 0.1), service="endless")
        time.sleep(1.6)
    assert fleet.until("agentcost_trace_cost_count", 3, service_name="endless") == 3
    assert fleet.total("agentcost_trace_cost_sum", service_name="endless") == pytest.approx(0.3, abs=1e-12)


def test_two_tiers_count_once(tmp_path: Path) -> None:
    """A collector beside the application prices and counts; the gateway behind it keeps traces, and counts nothing."""
    window = {"AGENTCOST_RUN_WINDOW": "1s", "AGENTCOST_DECISION_WAIT": "2s"}
    with running(tmp_path / "gateway", FILES, TO_A_FILE, **window) as gateway:
        files = ("metrics.yaml", "runs.yaml", "agent.yaml", "backends/prometheus-scrape.yaml", "backends/otlp.yaml")
        to = {"AGENTCOST_TRACES_ENDPOINT": f"http://127.0.0.1:{gateway.otlp}"}
        with running(tmp_path / "agent", files, **window, **to) as agent:
            trace = trace_id()
            agent.send(call(trace, 0.7), call(trace, 0.8), span(trace, {"http.route": "/"}), service="tiers")
            gateway.send(call(trace_id(), 0.05), service="direct")
            kept = _kept(gateway, trace)
            assert {one.get("agentcost.cost.basis") for one in kept} == {"upstream", None}
            assert [one for one in kept if one.get("agentcost.trace.over_budget")]
            assert agent.until("agentcost_trace_cost_sum", 1.5, service_name="tiers") == 1.5
            assert agent.total("agentcost_cost_total", service_name="tiers") == 1.5
            assert gateway.until("agentcost_trace_cost_sum", 0.05, service_name="direct") == 0.05
            assert gateway.total("agentcost_cost_total", service_name="tiers") == 0
            assert gateway.total("agentcost_trace_cost_count", service_name="tiers") == 0
