"""Records of resolved series: each reader collects what it collects of records that go the public way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk import metrics
from opentelemetry.sdk.metrics import view
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_agentcost.telemetry import series as resolving
from otel_agentcost.telemetry.series import Series

RESOLVABLE = pytest.mark.skipif(
    not hasattr(metrics.Histogram, "_is_enabled"), reason="this SDK of OpenTelemetry has not the private parts"
)
"""Older releases of the SDK record the public way; what does not force the other one runs there too."""

ATTRIBUTES = {"gen_ai.request.model": "gpt-4o", "gen_ai.operation.name": "chat"}
SAMPLED = set_span_in_context(
    NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))), Context()
)


def by_bucket(_aggregation: object) -> Any:
    """Makes a reservoir with one exemplar for each bucket, whatever the aggregation is."""
    return lambda **_: metrics.AlignedHistogramBucketExemplarReservoir((1, 10))


VIEWS = {
    "none": [],
    "fewer attributes": [View(instrument_name="h", attribute_keys={"gen_ai.operation.name"})],
    "two": [View(instrument_name="h", name="one"), View(instrument_name="h", name="two", attribute_keys=set())],
    "exponential": [View(instrument_name="h", aggregation=view.ExponentialBucketHistogramAggregation())],
    "exponential, exemplars by bucket": [
        View(
            instrument_name="h",
            aggregation=view.ExponentialBucketHistogramAggregation(),
            exemplar_reservoir_factory=by_bucket,
        )
    ],
    "dropped": [View(instrument_name="h", aggregation=view.DropAggregation())],
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Each test compares the two ways by itself."""
    resolving._resolvable_kind.cache_clear()
    yield
    resolving._resolvable_kind.cache_clear()


def provider_of(*readers: InMemoryMetricReader, views: list[View] | None = None) -> metrics.MeterProvider:
    return metrics.MeterProvider(readers, Resource.get_empty(), shutdown_on_exit=False, views=views or ())


def histogram(provider: metrics.MeterProvider) -> Any:
    return provider.get_meter("m").create_histogram("h", explicit_bucket_boundaries_advisory=[1, 10])


def points(reader: InMemoryMetricReader) -> list[Any]:
    """What is collected, without the times."""
    data = reader.get_metrics_data()
    found: list[Any] = []
    for metric in data.resource_metrics[0].scope_metrics[0].metrics if data is not None else ():
        for point in metric.data.data_points:
            fields: dict[str, Any] = {name: getattr(point, name) for name in point.__dataclass_fields__}
            exemplars = [(e.value, e.trace_id, e.span_id, e.filtered_attributes) for e in fields.pop("exemplars")]
            timeless = {name: value for name, value in fields.items() if "time" not in name}
            found.append((metric.name, timeless, exemplars))
    return found


@RESOLVABLE
def test_the_sdk_of_the_tests_is_resolved() -> None:
    """The comparison with the public way finds no difference, so the other tests here test resolved series."""
    series = Series(histogram(provider_of(InMemoryMetricReader())), ATTRIBUTES)
    series.record(2, SAMPLED)
    assert len(series.resolved[1]) == 1


@RESOLVABLE
@pytest.mark.parametrize("temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA])
@pytest.mark.parametrize("views", VIEWS)
def test_both_ways_collect_the_same(views: str, temporality: AggregationTemporality) -> None:
    """With every kind of view, before and after a collection, exemplars included."""
    collected: list[list[Any]] = []
    for resolve in (False, True):
        reader = InMemoryMetricReader({metrics.Histogram: temporality})
        series = Series(histogram(provider_of(reader, views=VIEWS[views])), ATTRIBUTES, resolve=resolve)
        rounds: list[Any] = []
        for amounts in ((2, 0.5, 0), (), (30, 5, 2, 0)):
            for amount in amounts:
                series.record(amount, SAMPLED)
            rounds.append(points(reader))
        collected.append(rounds)
    assert collected[0] == collected[1]
    assert any(collected[0]) == (views != "dropped")


class Large(metrics.ExemplarFilter):
    """A filter that looks at the value, as none of the SDK does."""

    def should_sample(self, value: float, time_unix_nano: int, attributes: Any, context: Any) -> bool:
        return value > 2


@RESOLVABLE
@pytest.mark.parametrize("chosen_by", [None, Large()])
@pytest.mark.parametrize("ctx", [SAMPLED, Context()])
def test_records_of_one_call_are_as_one_by_one(chosen_by: Any, ctx: Context) -> None:
    """They share a time and, unless a filter looks at values, the choice of exemplars."""
    collected: list[Any] = []
    for resolve in (False, True):
        reader = InMemoryMetricReader()
        provider = metrics.MeterProvider(
            [reader], Resource.get_empty(), shutdown_on_exit=False, exemplar_filter=chosen_by
        )
        made = histogram(provider)
        series = [Series(made, {**ATTRIBUTES, "type": kind}, resolve=resolve) for kind in ("input", "output")]
        for amounts in ((2, 0.5), (30, 10), (1, 2), (-1, 5)):
            resolving.record_all(tuple(zip(series, amounts, strict=True)), ctx)
        collected.append(points(reader))
    assert collected[0] == collected[1]
    assert any(exemplars for _, _, exemplars in collected[1]) == (chosen_by is not None or ctx is SAMPLED)


@RESOLVABLE
def test_a_reader_that_comes_later_gets_each_record_from_then_on() -> None:
    """The table of readers is another one then, and the series is resolved again."""
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    provider = provider_of(first)
    series = Series(histogram(provider), ATTRIBUTES, resolve=True)
    series.record(2, SAMPLED)
    provider.add_metric_reader(second)
    for _ in range(3):
        series.record(2, SAMPLED)
    assert [points(reader)[0][1]["count"] for reader in (first, second)] == [4, 3]


@RESOLVABLE
@pytest.mark.parametrize("refused", [-1, math.nan, math.inf])
def test_an_amount_that_the_sdk_refuses_is_not_recorded(refused: float) -> None:
    """As the first record of a series, where it must not be resolved to nothing, and as a later one."""
    reader = InMemoryMetricReader()
    series = Series(histogram(provider_of(reader)), ATTRIBUTES, resolve=True)
    for amount in (refused, 2, refused, 3):
        series.record(amount, SAMPLED)
    ((_, point, _),) = points(reader)
    assert (point["count"], point["sum"]) == (2, 5)


@RESOLVABLE
def test_two_series_of_one_histogram_do_not_mix() -> None:
    """Each has its own attributes, and a record of the public way with the same attributes adds to the same point."""
    reader = InMemoryMetricReader()
    made = histogram(provider_of(reader))
    for kind in ("input", "output"):
        series = Series(made, {**ATTRIBUTES, "type": kind}, resolve=True)
        for _ in range(2):
            series.record(3, SAMPLED)
    made.record(3, {**ATTRIBUTES, "type": "output"}, SAMPLED)
    assert {point["attributes"]["type"]: point["count"] for _, point, _ in points(reader)} == {"input": 2, "output": 3}


def test_another_sdk_records_the_public_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that keeps its series elsewhere, or differently, loses no record."""
    from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer

    def without_exemplars(self: Any, measurement: Any) -> None:
        for storage in self.__dict__["_reader_storages"].values():
            storage.consume_measurement(measurement, False)

    monkeypatch.setattr(SynchronousMeasurementConsumer, "consume_measurement", without_exemplars)
    reader = InMemoryMetricReader()
    series = Series(histogram(provider_of(reader)), ATTRIBUTES)
    for _ in range(2):
        series.record(2, SAMPLED)
    assert series.resolved == (None, ())
    ((_, point, exemplars),) = points(reader)
    assert (point["count"], exemplars) == (2, [])


def test_an_sdk_that_drops_its_aggregations_loses_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that begins each collection with new aggregations: adding to the old ones would add to nothing."""
    from opentelemetry.sdk.metrics._internal._view_instrument_match import _ViewInstrumentMatch

    collect = _ViewInstrumentMatch.collect

    def and_drop(self: Any, *args: Any) -> Any:
        collected = collect(self, *args)
        self._attributes_aggregation.clear()
        return collected

    monkeypatch.setattr(_ViewInstrumentMatch, "collect", and_drop)
    reader = InMemoryMetricReader()
    series = Series(histogram(provider_of(reader)), ATTRIBUTES)
    counts: list[int] = []
    for _ in range(3):
        series.record(2, SAMPLED)
        counts.append(points(reader)[0][1]["count"])
    assert counts == [1, 1, 1]


def test_an_sdk_without_the_private_parts_records_the_public_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself may fail."""
    from opentelemetry.sdk.metrics._internal.aggregation import _ExplicitBucketHistogramAggregation as Aggregation

    def aggregate(self: Any, *_measurement: Any, **_more: Any) -> None:
        raise AttributeError(self)

    reader = InMemoryMetricReader()
    made = histogram(provider_of(reader))
    with monkeypatch.context() as broken:
        broken.setattr(Aggregation, "aggregate", aggregate)
        series = Series(made, ATTRIBUTES)
    series.record(2, SAMPLED)
    assert series.resolved == (None, ())
    assert points(reader)[0][1]["count"] == 1


def test_other_implementations_record_the_public_way() -> None:
    """The API's own meter has no aggregations, and a histogram of another library only has `record`."""
    recorded: list[Any] = []

    class Histogram:
        def record(self, *record: Any) -> None:
            recorded.append(record)

    other: Any = Histogram()
    for made in (NoOpMeterProvider().get_meter("m").create_histogram("h"), other):
        Series(made, ATTRIBUTES).record(2, SAMPLED)
    assert recorded == [(2, ATTRIBUTES, SAMPLED)]
