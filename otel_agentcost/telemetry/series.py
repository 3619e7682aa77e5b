"""Histogram records whose attribute set is resolved once, and not at each record.

For each record, the SDK copies, cleans, sorts and hashes the attributes to find the aggregation that has them: two
thirds of what a record costs, and a call makes four. A `Series` finds the aggregation once and adds to it. That takes
private parts of the SDK, so `_comparison` records both ways first and compares what a reader collects. Where that
differs, and for histograms of other implementations, each record goes the public way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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

    __slots__ = ("_attributes", "_consumer", "_histogram", "_resolved")

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
        self._histogram = recorder
        self._attributes = attributes
        self._consumer: Any = recorder._measurement_consumer if resolve else None
        self._resolved: tuple[Any, tuple[Any, ...]] = (None, ())
        """The SDK's table of metric readers, and the aggregations there. A changed set of readers is another table."""

    def record(self, amount: float, ctx: Context) -> None:
        """Record one value; `ctx` is the context of the call, for exemplars."""
        consumer, histogram = self._consumer, self._histogram
        if consumer is None:
            histogram.record(amount, self._attributes, ctx)
            return
        readers, aggregations = self._resolved
        if consumer._reader_storages is not readers or not 0 <= amount < math.inf or not histogram._is_enabled():
            histogram.record(amount, self._attributes, ctx)  # makes the aggregations, and refuses what is no amount
            self._resolve()
            return
        measurement = _Measurement(amount, time_ns(), self._attributes, ctx)
        sampled = consumer._sdk_config.exemplar_filter.should_sample(*measurement)
        for aggregation in aggregations:
            aggregation.aggregate(measurement, sampled)

    def _resolve(self) -> None:
        """Find the aggregations, after a record has made them. While one is missing, records go the public way."""
        readers = self._consumer._reader_storages
        tables = [storage._instrument_view_instrument_matches for storage in readers.values()]
        if all(self._histogram in table for table in tables):
            found = tuple(self._aggregation(view) for table in tables for view in table[self._histogram])
            if None not in found:
                self._resolved = readers, found

    def _aggregation(self, view: Any) -> Any:
        if getattr(view, "_reset_on_collect", False):  # for readers of deltas, since 1.45.2: it drops its aggregations
            return None
        kept = view._view._attribute_keys
        attributes = {key: self._attributes[key] for key in self._attributes if kept is None or key in kept}
        series = tuple(view._attributes_aggregation.values())  # in one step: other threads add to it
        return next((each for each in series if each._attributes == attributes), None)


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
