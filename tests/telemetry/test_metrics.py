"""Metrics: names, units, buckets, attributes, and that no application can make their number grow without end."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, InMemoryMetricReader, Sum
from opentelemetry.sdk.metrics.view import View

import otel_agentcost
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import USD, ask, client
from tests.support.replies import CACHED, CACHED_USD, chat

TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
UNITS = {
    "gen_ai.client.token.usage": "{token}",
    "gen_ai.client.operation.duration": "s",
    "gen_ai.client.operation.cost": "{USD}",
    "agentcost.cost": "{USD}",
    "agentcost.tokens": "{token}",
    "agentcost.trace.cost": "{USD}",
    "agentcost.trace.llm_calls": "{call}",
    "agentcost.unpriced.calls": "{call}",
}
BASE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini",
}


def record(telemetry: Telemetry) -> None:
    """One of everything."""
    with instrumented(telemetry), otel_agentcost.attribute(user="u1", feature="support", conversation="c1"):
        ask()
        ask(client(chat(None, text="")))


def test_names_and_units(telemetry: Telemetry) -> None:
    """All instruments have the names and units of the conventions and of the design, and there are no others."""
    record(telemetry)
    assert {name: metric.unit for name, metric in telemetry.metrics().items()} == UNITS


def test_kinds_and_buckets(telemetry: Telemetry) -> None:
    """Token and duration histograms have the conventions' buckets; dollars and unpriced calls only grow."""
    record(telemetry)
    metrics = telemetry.metrics()
    for name, bounds in (("gen_ai.client.token.usage", TOKENS), ("gen_ai.client.operation.duration", SECONDS)):
        data = metrics[name].data
        assert isinstance(data, Histogram)
        assert data.data_points[0].explicit_bounds == bounds
    for name in ("agentcost.cost", "agentcost.tokens", "agentcost.unpriced.calls"):
        counter = metrics[name].data
        assert isinstance(counter, Sum)
        assert counter.is_monotonic


def test_attributes_of_each_metric(telemetry: Telemetry) -> None:
    """Who a call is for is on the sums of dollars and tokens alone, and the conversation on no metric at all."""
    with instrumented(telemetry), otel_agentcost.attribute(user="u1", feature="support", conversation="c1"):
        ask()
    (cost,) = telemetry.points("agentcost.cost")
    assert dict(cost.attributes or {}) == {**BASE, "user.id": "u1", "agentcost.feature": "support"}
    (spent,) = telemetry.points("gen_ai.client.operation.cost")
    assert dict(spent.attributes or {}) == BASE
    for kind, count in (("input", 100), ("output", 50)):
        point = telemetry.histogram("gen_ai.client.token.usage", gen_ai__token__type=kind)
        assert (point.count, point.sum) == (1, count)
        assert dict(point.attributes or {}) == {**BASE, "gen_ai.token.type": kind}


def test_cached_tokens_are_counted_once(telemetry: Telemetry) -> None:
    """Input tokens in the metric include the cached ones, once."""
    with instrumented(telemetry):
        ask(client(chat(CACHED)))
    assert telemetry.histogram("gen_ai.client.token.usage", gen_ai__token__type="input").sum == 1205
    assert telemetry.histogram("gen_ai.client.operation.cost").sum == CACHED_USD


def test_errors_are_in_the_duration_alone(telemetry: Telemetry) -> None:
    """A refused call has a duration with its `error.type`, and neither tokens nor dollars."""
    with instrumented(telemetry), pytest.raises(Exception, match="no"):
        ask(client({"error": {"message": "no"}}, 400))
    point = telemetry.histogram("gen_ai.client.operation.duration")
    assert isinstance(point, HistogramDataPoint)
    assert (point.attributes or {})["error.type"] == "openai.BadRequestError"
    for name in ("gen_ai.client.token.usage", "agentcost.tokens", "gen_ai.client.operation.cost", "agentcost.cost"):
        assert telemetry.points(name) == ()


def test_thousands_of_models_and_users_are_bounded(telemetry: Telemetry) -> None:
    """Names that an application makes up without end stop adding time series, and no dollar is lost by it."""
    made = client(chat())
    with instrumented(telemetry):
        for number in range(2500):
            with otel_agentcost.attribute(user=f"user-{number}"):
                ask(made, model=f"made-up-{number}")
    assert len(telemetry.points("gen_ai.client.operation.cost")) <= 2000
    assert len(telemetry.points("agentcost.cost")) <= 2000
    assert telemetry.total("agentcost.cost") == pytest.approx(2500 * USD)
    assert telemetry.total("gen_ai.client.operation.cost") == pytest.approx(2500 * USD)
    assert telemetry.total("gen_ai.client.token.usage") == 2500 * 150
    assert len(telemetry.points("agentcost.tokens")) <= 2000
    assert telemetry.total("agentcost.tokens") == 2500 * 150


def test_dollars_are_summed_exactly(telemetry: Telemetry) -> None:
    """Ten thousandths of a cent, added up a thousand times, are not off by a rounding error."""
    made = client()
    with instrumented(telemetry):
        for _ in range(1000):
            ask(made)
    assert telemetry.total("agentcost.cost") == 0.045


def test_a_histogram_that_fails_does_not_lose_the_sums(telemetry: Telemetry) -> None:
    """Views and reservoirs are the application's, and may raise."""

    def failing(_: object) -> Any:
        raise RuntimeError("no reservoir")

    view = View(instrument_name="gen_ai.client.operation.duration", exemplar_reservoir_factory=failing)
    reader = telemetry.reader = InMemoryMetricReader()
    telemetry.meter_provider = MeterProvider([reader], views=[view], shutdown_on_exit=False)
    with instrumented(telemetry), otel_agentcost.run("job") as run:
        ask()
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)
    assert float(run.cost_usd or 0) == pytest.approx(USD)


def test_instrumenting_again_goes_on_counting(telemetry: Telemetry) -> None:
    """The same providers, instrumented again: the same instruments go on, without a warning and without a double."""
    for calls in range(1, 4):
        with instrumented(telemetry):
            ask()
        assert telemetry.total("agentcost.cost") == pytest.approx(calls * USD)
        assert len(telemetry.points("agentcost.cost")) == 1
        assert telemetry.histogram("gen_ai.client.operation.duration").count == calls
        assert telemetry.histogram("agentcost.trace.cost").count == calls
    assert len(telemetry.spans) == 3
