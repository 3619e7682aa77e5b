"""An OpenTelemetry SDK of one test's own, whose spans and metrics stay in memory.

The `telemetry` fixture gives each test a fresh one. It is never made the global provider: pass `tracer_provider` and
`meter_provider` on, so that tests stay independent of each other and of their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    DataPointT,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler


class Telemetry:
    """Both providers, and what was recorded through them."""

    def __init__(self, *, sampler: Sampler | None = None) -> None:
        resource = Resource({"service.name": "test"})
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = MeterProvider([self.reader], resource=resource, shutdown_on_exit=False)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The ended spans, in the order in which they ended."""
        return self.exporter.get_finished_spans()

    def span(self, name: str | None = None) -> ReadableSpan:
        """The only ended span (called `name`, where given)."""
        (span,) = (span for span in self.spans if name in (None, span.name))
        return span

    def attributes(self, name: str | None = None) -> Mapping[str, object]:
        """The attributes of the only ended span (called `name`, where given)."""
        return dict(self.span(name).attributes or {})

    def metrics(self) -> dict[str, Metric]:
        """All metrics since the start (sums and histograms are cumulative), by name."""
        collected = self.reader.get_metrics_data()
        if collected is None:
            return {}
        return {
            metric.name: metric
            for resource in collected.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> Sequence[DataPointT]:
        """The data points of the metric `name`, one a set of attributes; none where nothing was recorded."""
        metric = self.metrics().get(name)
        return metric.data.data_points if metric else ()

    def histogram(self, name: str, **attributes: object) -> HistogramDataPoint:
        """The only point of the histogram `name` whose attributes include `attributes` (write `.` as `__`)."""
        (point,) = self._matching(name, attributes)
        assert isinstance(point, HistogramDataPoint)
        return point

    def total(self, name: str, **attributes: object) -> float:
        """The sum of the counter or histogram `name`, over the points that include `attributes` (`.` as `__`)."""
        return sum(
            point.value if isinstance(point, NumberDataPoint) else point.sum
            for point in self._matching(name, attributes)
        )

    def _matching(
        self, name: str, attributes: Mapping[str, object]
    ) -> Sequence[NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint]:
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [point for point in self.points(name) if wanted.items() <= dict(point.attributes or {}).items()]

    def clear(self) -> None:
        """Forgets the spans so far (metrics stay: they are cumulative)."""
        self.exporter.clear()

    def shutdown(self) -> None:
        """Ends both providers."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
