"""Sending the demo's telemetry to a collector, by OTLP over HTTP, and knowing whether it got there.

An exporter never tells the application that it failed: it logs, drops and goes on. That is right for an application;
the demo should say it. Imports the exporters, which are an extra: import this module only when they are there.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

TIMEOUT = 5
"""Seconds for one export, its retries included."""


class Collector:
    """A collector at `url`: an exporter for spans and one for metrics, and what was delivered."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.spans = 0
        """Spans that the collector has taken."""
        self.failures = 0
        """Exports that it has not taken."""
        self.span_exporter = _Spans(self)
        self.metric_exporter = _Metrics(self)

    def unreachable(self) -> str | None:
        """Return why nothing can be sent there; None if a server listens. An exporter would notice only at the end."""
        try:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                return f"{self.url!r} is not the address of a collector, such as http://localhost:4318"
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname, port), timeout=3).close()
        except (OSError, ValueError) as error:
            return f"no collector answers at {self.url} ({error})"
        return None


class _Spans(OTLPSpanExporter):
    def __init__(self, collector: Collector) -> None:
        super().__init__(endpoint=f"{collector.url}/v1/traces", timeout=TIMEOUT)
        self._collector = collector

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._collector.spans += len(spans)
        else:
            self._collector.failures += 1
        return result


class _Metrics(OTLPMetricExporter):
    def __init__(self, collector: Collector) -> None:
        super().__init__(endpoint=f"{collector.url}/v1/metrics", timeout=TIMEOUT)
        self._collector = collector

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: object
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)  # pyright: ignore[reportUnknownMemberType] (untyped there)
        self._collector.failures += result is not MetricExportResult.SUCCESS
        return result
