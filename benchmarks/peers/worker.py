"""A process of `benchmarks.peers`, in the environment of one peer: makes the calls that its standard input asks for.

`python -m benchmarks.peers.worker NAME` prints `ready` and the versions of the SDKs. Then each line of standard input,
`{"workload": ..., "calls": ...}`, is answered by one line: the microseconds of CPU, of the whole process, that one call
took, and how many spans were exported.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.no_metrics import NoMetrics
from benchmarks.peers.table import Peer, Telemetry, named
from benchmarks.workloads import workloads


class _Spans(SpanExporter):
    """Counts spans."""

    count = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.count += len(spans)
        return SpanExportResult.SUCCESS


def instrument(peer: Peer, exporter: SpanExporter) -> Telemetry:
    """Makes the providers as an application does, and switches the peer on."""
    processor = BatchSpanProcessor(exporter)
    reader = PeriodicExportingMetricReader(NoMetrics())
    tracers, meters = None, None
    if not peer.own_providers:
        tracers = TracerProvider()
        tracers.add_span_processor(processor)
        meters = MeterProvider([reader])
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(meters)
    telemetry = Telemetry(tracers, meters, processor, reader)
    peer.instrument(telemetry)
    return telemetry


def main(name: str) -> None:
    """Serves until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the peers print is not an answer
    exporter = _Spans()
    telemetry = instrument(named(name), exporter)
    runs = {work.name: work.run for work in workloads()}
    versions = {package: version(package) for package in ("openai", "anthropic", "opentelemetry-sdk")}
    print(json.dumps({"ready": name, **versions}), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        run, calls = runs[asked["workload"]], asked["calls"]
        telemetry.processor.force_flush()
        gc.collect()
        gc.freeze()
        before, started = exporter.count, time.process_time_ns()
        run(calls)
        taken = (time.process_time_ns() - started) / calls / 1000
        telemetry.processor.force_flush()
        print(json.dumps({"cpu": taken, "spans": exporter.count - before}), file=answers)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
