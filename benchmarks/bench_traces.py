"""`python -m benchmarks.bench_traces [traces]`: a million traces (by default) in one process, and its memory.

Each is a root and a call of somebody else's; most end, some forget the call's span, some are never ended at all. The
first row is after a tenth of them: what grows from there on would grow for ever.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

import otel_agentcost
from otel_agentcost import Settings
from tests.integrations.spans.test_memory import BUDGETS, all_dropped, call_dropped, ended
from tests.support.foreign_spans import GROQ

SHAPES = (*[ended] * 8, call_dropped, all_dropped)


def resident() -> float:
    """Megabytes of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 1e6


def main(traces: int = 1_000_000) -> None:
    """Prints a row after each tenth."""
    tracers = TracerProvider(sampler=TraceIdRatioBased(0.5), shutdown_on_exit=False)
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    otel_agentcost.instrument(tracer_provider=tracers, meter_provider=meters, settings=Settings(**BUDGETS))
    app, theirs = tracers.get_tracer("app"), tracers.get_tracer(GROQ)
    print(f"{'traces':>10} {'MB':>8} {'us a trace':>11}")
    done, started = 0, time.perf_counter()
    for _ in range(10):
        for number in range(traces // 10):
            SHAPES[number % len(SHAPES)](app, theirs)
        done += traces // 10
        gc.collect()
        print(f"{done:>10,} {resident():>8.1f} {(time.perf_counter() - started) / done * 1e6:>11.1f}", flush=True)
    otel_agentcost.uninstrument()
    meters.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
