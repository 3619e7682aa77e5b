"""Spans that a provider's servers send into an application's trace: the call is counted once, in any order.

They are as https://platform.claude.com/docs/en/api/opentelemetry/spans describes them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.collector.pricing_collector import Pricing
from tests.collector.real_collector import SHAPES, Setup, running, span, trace_id

FILES = ("pricing.yaml", "metrics.yaml", "runs.yaml", "agent.yaml", "backends/prometheus-scrape.yaml")
VENDOR = "com.anthropic.claude-platform"
CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.usage.input_tokens": 100_000, "gen_ai.usage.output_tokens": 10_000, "anthropic.request.id": "req_1",
}  # fmt: skip
USD = 0.45
"""100,000 x $3 + 10,000 x $15 a million."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A collector that gets the spans of applications, and those of Anthropic's servers."""
    with running(tmp_path_factory.mktemp("vendor"), FILES, AGENTCOST_RUN_WINDOW="1s") as setup:
        yield setup


def of_server(trace: str, parent: str, model: str) -> dict[str, Any]:
    """The span of Anthropic's server for a call: a child of the SDK's span."""
    return span(trace, {**CALL, "gen_ai.request.model": model}, parent=parent) | {
        "kind": 2,
        "name": "anthropic.messages.create",
    }


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_call_is_not_counted_by_the_servers_span_too(shop: Setup, first: str) -> None:
    """The SDK's span is priced by the collector. The server's comes in another batch, twice: delivery is repeated."""
    trace, service = trace_id(), f"sdk-{first}"
    client = span(trace, {**CALL, "user.id": service}, parent="1" * 16)
    server = of_server(trace, client["spanId"], "claude-sonnet-4-5")
    sent = [(client, service, "com.anthropic.sdk.python"), *[(server, "claude-platform", VENDOR)] * 2]
    for one, whose, scope in sent if first == "client" else reversed(sent):
        shop.send(one, service=whose, scope=scope)
    assert shop.until("agentcost_cost_total", USD, user_id=service) == pytest.approx(USD, abs=1e-9)
    assert shop.until("agentcost_trace_cost_sum", USD, service_name=service) == pytest.approx(USD, abs=1e-9)
    _nothing_of_the_vendor(shop)


def test_a_call_of_an_application_with_the_package_is_not_counted_by_the_servers_span(shop: Setup) -> None:
    """The application counted it. The collector counts nothing: no dollars, no tokens, no call without a price."""
    trace = trace_id()
    client = span(trace, {**CALL, "agentcost.cost.usd": USD, "agentcost.cost.basis": "span"}, parent="1" * 16)
    shop.send(client, service="ours", scope="otel_agentcost")
    shop.send(of_server(trace, client["spanId"], "claude-sonnet-4-5"), service="claude-platform", scope=VENDOR)
    shop.send(of_server(trace, client["spanId"], "claude-never"), service="claude-platform", scope=VENDOR)
    marker = {**CALL, "user.id": "after"}
    shop.send(span(trace_id(), marker), service="after")
    assert shop.until("agentcost_cost_total", USD, user_id="after") == pytest.approx(USD, abs=1e-9)
    assert shop.total("agentcost_cost_total", service_name="ours") == 0
    _nothing_of_the_vendor(shop)


def _nothing_of_the_vendor(shop: Setup) -> None:
    time.sleep(1.5)  # longer than a run's window
    derived = {
        name
        for (name, labels), value in shop.samples().items()
        if ("service_name", "claude-platform") in labels and value
    }
    assert not derived - {name for name in derived if name.startswith("agentcost_span_duration")}


def test_the_servers_span_is_not_forgotten_where_it_is_the_only_one(tmp_path: Path) -> None:
    """Sessions that run at Anthropic have no span in an application: a setting has the servers' spans priced."""
    priced = Pricing(tmp_path, SHAPES / "pricing.yaml", AGENTCOST_PRICED_FRAMEWORKS="claude-platform")
    try:
        [found] = priced.price([CALL], scope=VENDOR)
    finally:
        priced.collector.stop()
    assert found[semconv.COST] == pytest.approx(USD, abs=1e-9)
    assert semconv.WATCHED not in found


def test_the_next_collector_does_not_count_the_servers_span(pricing: Pricing) -> None:
    """The span says that its call is counted elsewhere, and nothing else is changed, not even without usage."""
    usage_of_none = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"}
    for one in (CALL, usage_of_none):
        [found] = pricing.price([one], scope=VENDOR)
        assert {name: value for name, value in found.items() if name != "case"} == {**one, semconv.WATCHED: True}
    [again] = pricing.price([{**CALL, semconv.WATCHED: True}], scope=VENDOR)
    assert semconv.COST not in again
    assert semconv.UNPRICED not in again


def test_other_scopes_of_anthropic_are_not_ignored(pricing: Pricing) -> None:
    """A span with a similar scope, of the SDK, is priced; a server's span without an operation is not touched."""
    [sdk] = pricing.price([CALL], scope="com.anthropic.sdk.python")
    assert sdk[semconv.COST] == pytest.approx(USD, abs=1e-9)
    [plain] = pricing.price([{"anthropic.request.id": "req_1"}], scope=VENDOR)
    assert semconv.WATCHED not in plain
