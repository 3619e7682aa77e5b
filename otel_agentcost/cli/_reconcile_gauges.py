"""Gauges of a comparison with a bill, by day, sent by OTLP. Imports an exporter, which is an extra."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult

from otel_agentcost.core import money, semconv
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.telemetry.signals import RECONCILE_BILLED, RECONCILE_CAPTURED, RECONCILE_RATIO, Signal

if TYPE_CHECKING:
    from otel_agentcost.insight.reconcile.comparison import Comparison

_TIMEOUT = 10


class CannotSend(AgentCostError):
    """The gauges did not arrive."""


def send(url: str, comparison: Comparison) -> None:
    """Send the gauges of each day whose bill is settled.

    Args:
        url: The address of a collector, such as `http://localhost:4318`.
        comparison: The comparison.

    Raises:
        CannotSend: The exporter is not installed, or the collector did not take them.
    """
    try:
        exporters: Any = import_module("opentelemetry.exporter.otlp.proto.http.metric_exporter")
    except ImportError:
        raise CannotSend("Sending needs the OTLP exporter: pip install 'otel-agentcost[otlp]'") from None
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("otel_agentcost")
    points = list(_points(comparison))
    for signal in (RECONCILE_BILLED, RECONCILE_CAPTURED, RECONCILE_RATIO):
        observed = [Observation(value, attributes) for name, value, attributes in points if name is signal]

        def callback(_: CallbackOptions, observed: list[Observation] = observed) -> Iterable[Observation]:
            return observed

        meter.create_observable_gauge(signal.name, [callback], signal.unit, signal.description)
    exporter = exporters.OTLPMetricExporter(endpoint=f"{url.rstrip('/')}/v1/metrics", timeout=_TIMEOUT)
    try:
        result = exporter.export(reader.get_metrics_data())
    except Exception as error:  # of the exporter or its transport
        raise CannotSend(f"No collector took the gauges at {without_password(url)} ({type(error).__name__}).") from None
    finally:
        exporter.shutdown()
        provider.shutdown()
    if result is not MetricExportResult.SUCCESS:
        raise CannotSend(f"No collector took the gauges at {without_password(url)}.")


def _points(comparison: Comparison) -> Iterable[tuple[Signal, float, dict[str, str]]]:
    for day in sorted(comparison.window.shown - comparison.window.provisional):
        billed, recorded = comparison.of_day(day)
        attributes = {semconv.PROVIDER: comparison.bill.provider, semconv.BILL_DAY: day}
        yield RECONCILE_BILLED, money.to_float(money.from_nano(billed)), attributes
        yield RECONCILE_CAPTURED, money.to_float(money.from_nano(recorded)), attributes
        if billed > 0:
            yield RECONCILE_RATIO, recorded / billed, attributes
