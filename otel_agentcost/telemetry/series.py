"""Histogram records whose attribute set is resolved once, and not at each record.

For each record, the SDK copies, cleans, sorts and hashes the attributes to find the aggregation that has them: two
thirds of what a record costs, and a call makes four. A `Series` finds the aggregation once and adds to it. The records
of a call also share the answer of the exemplar filter, and find the bucket of an exemplar by bisection. That takes
private parts of the SDK, so `_comparison` records both ways first and compares what a reader collects. Where that
differs, and for histograms of other implementations, each record goes the public way.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from time import time_ns
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_agentcost.diagnostics import logger, reraise_foreign

_SDK = "opentelemetry.sdk.metrics"


class _Measurement(NamedTuple):
    """The fields of a measurement that an aggregation of the SDK, and its reservoir of exemplars, read."""

    value: float
    time_unix_nano: int
    attributes: Mapping[str, str]
    context: Context


class Series:
    """The records of one histogram that have the same attributes. Thread-safe."""

    __slots__ = ("attributes", "consumer", "histogram", "resolved", "sampled_by_context")

    def __init__(self, histogram: Histogram, attributes: Mapping[str, str], *, resolve: bool | None = None) -> None:
        """Create the object. The first record finds the aggregations.

        Args:
            histogram: A histogram of any implementation of OpenTelemetry.
            attributes: The attributes of the records. They must not change.
            resolve: False to record the public way. Default: as the SDK allows.
        """
        if resolve is None:
            resolve = _is_resolvable(histogram)
        recorder: Any = histogram
        self.histogram = recorder
        self.attributes = attributes
        self.consumer: Any = recorder._measurement_consumer if resolve else None
        self.sampled_by_context = False
        """True if exemplars are chosen by the context of a record, and not by its value."""
        self.resolved: tuple[Any, tuple[tuple[Any, Any], ...]] = (None, ())
        """The SDK's table of metric readers, and the aggregations there. A changed set of readers is another table."""

    def record(self, amount: float, ctx: Context) -> None:
        """Record one value; `ctx` is the context of the call, for exemplars."""
        record_all(((self, amount),), ctx)

    def record_publicly(self, amount: float, ctx: Context) -> None:
        """Record one value as applications do: this makes the aggregations, and refuses what is no amount."""
        self.histogram.record(amount, self.attributes, ctx)
        if self.consumer is not None:
            self._resolve()

    def _resolve(self) -> None:
        """Find the aggregations, after a record has made them. While one is missing, records go the public way."""
        self.sampled_by_context = _is_one_of(_BY_CONTEXT, self.consumer._sdk_config.exemplar_filter)
        readers = self.consumer._reader_storages
        tables = [storage._instrument_view_instrument_matches for storage in readers.values()]
        if all(self.histogram in table for table in tables):
            found = [self._aggregation(view) for table in tables for view in table[self.histogram]]
            if None not in found:
                self.resolved = readers, tuple((each, _reservoir_of_buckets(each)) for each in found)

    def _aggregation(self, view: Any) -> Any:
        if getattr(view, "_reset_on_collect", False):  # for readers of deltas, since 1.45.2: it drops its aggregations
            return None
        kept = view._view._attribute_keys
        attributes = {key: self.attributes[key] for key in self.attributes if kept is None or key in kept}
        series = tuple(view._attributes_aggregation.values())  # in one step: other threads add to it
        return next((each for each in series if each._attributes == attributes), None)


def record_all(records: Sequence[tuple[Series, float]], ctx: Context) -> None:
    """Record values of one call, or of one trace, all at this time.

    Args:
        records: The values, each with its series. All are of histograms of one meter.
        ctx: The context of the call, for exemplars.
    """
    now, enabled, sampled = time_ns(), None, None
    for series, amount in records:
        consumer, (readers, aggregations) = series.consumer, series.resolved
        if consumer is None or consumer._reader_storages is not readers or not 0 <= amount < math.inf:
            series.record_publicly(amount, ctx)
            continue
        if enabled is None:
            enabled = series.histogram._is_enabled()
        if not enabled:
            continue
        measurement = _new(_Measurement, (amount, now, series.attributes, ctx))
        if sampled is None or not series.sampled_by_context:
            sampled = consumer._sdk_config.exemplar_filter.should_sample(*measurement)
        for aggregation, reservoir in aggregations:
            aggregation.aggregate(measurement, sampled and reservoir is None)
            if sampled and reservoir is not None:
                with reservoir._lock:
                    reservoir._reservoir_storage[bisect_left(reservoir._boundaries, amount)].offer(*measurement)


def _reservoir_of_buckets(aggregation: Any) -> Any:
    """Return the reservoir that keeps one exemplar for each bucket, and looks at each to find it; None for others."""
    reservoir = getattr(aggregation, "_reservoir", None)
    return reservoir if _is_one_of(_BUCKETS, aggregation) and _is_one_of(_OF_BUCKETS, reservoir) else None


def _is_one_of(names: Collection[str], value: object) -> bool:
    """Return True if `value` is of a class of the SDK with one of these names."""
    kind = type(value)
    return kind.__name__ in names and kind.__module__.startswith(_SDK)


_new: Any = tuple[Any, ...].__new__  # without the Python function that makes a named tuple
_BUCKETS = frozenset({"_ExplicitBucketHistogramAggregation"})
_OF_BUCKETS = frozenset({"AlignedHistogramBucketExemplarReservoir"})
_BY_CONTEXT = frozenset({"TraceBasedExemplarFilter", "AlwaysOnExemplarFilter", "AlwaysOffExemplarFilter"})
"""Filters that look at the context of a measurement alone, so that their answer is the same for all of a call."""


# --- The comparison with the public way ---


def _is_resolvable(histogram: Histogram) -> bool:
    kind = type(histogram)
    return kind.__module__.startswith(_SDK) and kind is _resolvable_kind()


@cache
def _resolvable_kind() -> type[Any] | None:
    """Return the class of the histograms that a `Series` can resolve; None if this SDK is built in another way."""
    try:
        return _comparison()
    except Exception as error:  # private parts of another release may be missing, or have another signature
        reraise_foreign(error)
        logger.debug("otel-agentcost: histograms are recorded the public, slower way (%r)", error)
        return None


def _comparison() -> type[Any] | None:
    """Record the same values in both ways. Returns the histograms' class if readers collect the same points."""
    from opentelemetry.sdk.metrics.export import AggregationTemporality as Temporality  # noqa: PLC0415 (it is loaded)

    kinds = [_compared(temporality) for temporality in (Temporality.CUMULATIVE, Temporality.DELTA)]
    return kinds[0] if kinds[0] is kinds[1] else None


def _compared(temporality: Any) -> type[Any] | None:
    from opentelemetry.sdk import metrics  # noqa: PLC0415 (it is loaded: the histogram is of this package)
    from opentelemetry.sdk.metrics import export, view  # noqa: PLC0415 (it is loaded)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (it is loaded)

    reader = export.InMemoryMetricReader({metrics.Histogram: temporality})
    views = [view.View(instrument_name="*_some", attribute_keys={"a"})]
    provider = metrics.MeterProvider([reader], Resource.get_empty(), shutdown_on_exit=False, views=views)
    meter = provider.get_meter("otel_agentcost.comparison")
    histograms = {name: meter.create_histogram(name) for name in (*_PUBLIC, *_RESOLVED)}
    series = [Series(each, {"a": "1", "b": "2"}, resolve=name in _RESOLVED) for name, each in histograms.items()]
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    ctx = set_span_in_context(span, Context())
    for values in ((1, 70.5), (3, 3)):  # and again after a collection
        for each in series:
            for value in values:
                each.record(value, ctx)
        points = _points(reader.get_metrics_data())
        if [points.get(name) for name in _PUBLIC] != [points.get(name) for name in _RESOLVED]:
            return None
    provider.shutdown()
    return type(histograms[_PUBLIC[0]])


_PUBLIC, _RESOLVED = ("public_all", "public_some"), ("resolved_all", "resolved_some")


def _points(data: Any) -> dict[str, list[Any]]:
    """Return what was collected, by histogram, without times."""
    return {
        metric.name: [
            (
                *(dict(point.attributes), point.count, point.sum, point.min, point.max, point.bucket_counts),
                *((each.value, each.span_id, each.trace_id, each.filtered_attributes) for each in point.exemplars),
            )
            for point in metric.data.data_points
        ]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
