"""Metrics that a real collector derives from spans: each dollar once, under the names that boards read."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.collector.real_collector import Setup, call, running, span, trace_id
from tools.collector import send

FILES = ("metrics.yaml", "runs.yaml", "agent.yaml", "backends/prometheus-scrape.yaml")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A collector beside an application, scraped by Prometheus. Each test is a service of its own."""
    quick = "connectors: {spanmetrics/agentcost: {metrics_flush_interval: 2s}}"
    with running(tmp_path_factory.mktemp("shop"), FILES, quick, AGENTCOST_RUN_WINDOW="1s") as setup:
        yield setup


def test_dollars_are_those_of_the_spans(shop: Setup) -> None:
    """By model and user, and in the histogram of calls: to the last bit of a double's sum."""
    dollars = [0.1, 0.02, 0.003]
    for number, usd in enumerate(dollars):
        shop.send(call(trace_id(), usd, model=f"m{number}", more={"user.id": f"u{number}"}), service="sums")
    assert shop.until("agentcost_cost_total", 0.123, service_name="sums") == pytest.approx(0.123, abs=1e-12)
    for number, usd in enumerate(dollars):
        found = shop.total("agentcost_cost_total", user_id=f"u{number}", gen_ai_request_model=f"m{number}")
        assert found == usd
    assert shop.total("gen_ai_client_operation_cost_sum", service_name="sums") == pytest.approx(0.123, abs=1e-12)
    assert shop.total("gen_ai_client_operation_duration_seconds_count", service_name="sums") == 3
    assert shop.total("agentcost_cost_total", service_name="sums", deployment_environment_name="prod") > 0


def test_each_token_is_counted_once(shop: Setup) -> None:
    """Cached and reasoning tokens are taken from the sums that contain them."""
    usage = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_write.input_tokens": 20,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 40,
    }
    shop.send(call(trace_id(), 0.5, more=usage), service="tokens")
    assert shop.until("agentcost_tokens_total", 150, service_name="tokens") == 150
    by_kind = {"input": 50, "cache_read": 30, "cache_write": 20, "output": 10, "reasoning": 40}
    for kind, number in by_kind.items():
        assert shop.total("agentcost_tokens_total", service_name="tokens", gen_ai_token_type=kind) == number
    for kind, number in {"input": 100, "output": 50}.items():
        assert shop.total("gen_ai_client_token_usage_sum", service_name="tokens", gen_ai_token_type=kind) == number


def test_a_call_without_a_price_is_counted_as_that_and_never_as_no_dollars(shop: Setup) -> None:
    """With the reason; its histogram of dollars has no entry."""
    shop.send(call(trace_id(), None, model="unheard-of"), service="unpriced")
    assert shop.until("agentcost_unpriced_calls_total", 1, service_name="unpriced") == 1
    assert shop.total("agentcost_unpriced_calls_total", agentcost_unpriced_reason="unknown model") >= 1
    assert shop.total("gen_ai_client_operation_cost_count", service_name="unpriced") == 0


def test_what_others_have_counted_is_not_counted_again(shop: Setup) -> None:
    """Spans that the package in the application priced, or a collector before this one; agents' sums; other spans."""
    trace = trace_id()
    told = {"agentcost.cost.usd": 5.0, "gen_ai.operation.name": "chat"}
    shop.send(
        span(trace, told),
        span(trace, {**told, "agentcost.cost.basis": "span"}),
        span(trace, {**told, "agentcost.cost.basis": "collector"}),
        span(trace, {"agentcost.trace.cost_usd": 5.0, "gen_ai.operation.name": "invoke_agent"}),
        span(trace, {"http.route": "/"}),
        call(trace, 0.25),
        service="once",
    )
    assert shop.until("agentcost_cost_total", 0.25, service_name="once") == 0.25
    assert shop.until("agentcost_trace_cost_sum", 0.25, service_name="once") == 0.25
    assert shop.total("agentcost_trace_llm_calls_sum", service_name="once") == 1


def test_what_applications_count_themselves_gets_the_same_labels(shop: Setup) -> None:
    """Service and environment are copied from their resource onto their points; other metrics are left alone."""
    where = [
        {"key": "service.name", "value": {"stringValue": "own"}},
        {"key": "deployment.environment", "value": {"stringValue": "test"}},
    ]

    def counter(name: str) -> dict[str, object]:
        point = {"asDouble": 1.5, "timeUnixNano": "2000000000000000000", "startTimeUnixNano": "1900000000000000000"}
        return {"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}}

    metrics = [counter("agentcost.cost"), counter("orders")]
    document = {"resourceMetrics": [{"resource": {"attributes": where}, "scopeMetrics": [{"metrics": metrics}]}]}
    send(shop.otlp, document, "metrics")
    found = shop.until("agentcost_cost_total", 1.5, service_name="own", deployment_environment_name="test")
    assert found == 1.5
    assert shop.total("orders_total", job="own") == 1.5
    assert shop.total("orders_total", service_name="own") == 0


def test_durations_have_exemplars_that_lead_to_traces(shop: Setup) -> None:
    """Where they are asked for, as Prometheus does."""
    trace = trace_id()
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    request = urllib.request.Request(f"http://127.0.0.1:{shop.prometheus}/metrics", headers=accept)
    for _ in range(20):
        shop.send(call(trace, 0.1), service="exemplars")
        text = urllib.request.urlopen(request, timeout=10).read().decode()
        if any(line.startswith("agentcost_span_duration") and trace in line for line in text.splitlines()):
            return
        time.sleep(0.5)
    pytest.fail("no exemplar was seen")


def test_a_value_of_a_megabyte_is_cut(shop: Setup) -> None:
    """A label is at most 256 characters long, and the dollars are counted under it."""
    shop.send(call(trace_id(), 0.75, model="m" * 1_000_000), service="long")
    assert shop.until("agentcost_cost_total", 0.75, service_name="long") == 0.75
    assert shop.total("agentcost_cost_total", service_name="long", gen_ai_request_model="m" * 256) == 0.75
