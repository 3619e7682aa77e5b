"""CPU that we add to a call, as a ratio to the floor: what the bare OpenTelemetry SDK costs round the same call.

The floor is one span with 12 attributes and two histogram records, written by hand. Bare calls, floor and we take
turns in short blocks within one process, so that whatever else the machine does falls on all three alike. CPU time of
the whole process counts, with the exporting threads.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

import otel_agentcost
from benchmarks.no_metrics import NoMetrics
from benchmarks.workloads import Workload, workloads
from otel_agentcost.calls import streams
from otel_agentcost.calls.admission import Gates
from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.core import semconv
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.pricebook import open_book
from otel_agentcost.telemetry.metrics import Metrics
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.spans import Spans
from otel_agentcost.wire import ModelRequest, load


class _NoSpans(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@dataclass
class Sdk:
    """A tracer and a meter provider that throw away what they get."""

    tracers: TracerProvider
    meters: MeterProvider

    @classmethod
    def fresh(cls) -> Sdk:
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(_NoSpans()))
        reader = PeriodicExportingMetricReader(NoMetrics(), export_interval_millis=60_000)
        return cls(tracers, MeterProvider([reader], shutdown_on_exit=False))

    def trace(self) -> AbstractContextManager[Any]:
        """An open trace, as an agent's calls are in one."""
        return self.tracers.get_tracer("agent").start_as_current_span("run")

    def shut_down(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


_ATTRIBUTES: dict[str, str | int] = {
    semconv.OPERATION: "chat",
    semconv.PROVIDER: "openai",
    semconv.REQUEST_MODEL: "gpt-4o-mini",
    semconv.RESPONSE_MODEL: "gpt-4o-mini-2024-07-18",
    semconv.RESPONSE_ID: "chatcmpl-1",
    semconv.INPUT_TOKENS: 1205,
    semconv.OUTPUT_TOKENS: 183,
    semconv.CACHE_READ_TOKENS: 1024,
    semconv.REASONING_TOKENS: 64,
    semconv.SERVER_ADDRESS: "api.openai.com",
    semconv.SERVER_PORT: 443,
    semconv.REQUEST_MAX_TOKENS: 400,
}
_METRIC = {
    semconv.OPERATION: "chat",
    semconv.PROVIDER: "openai",
    semconv.REQUEST_MODEL: "gpt-4o-mini",
    semconv.RESPONSE_MODEL: "gpt-4o-mini-2024-07-18",
    semconv.SERVER_ADDRESS: "api.openai.com",
}


def floor(sdk: Sdk) -> Callable[[], None]:
    """The work of the floor, once."""
    tracer = sdk.tracers.get_tracer("floor")
    meter = sdk.meters.get_meter("floor")
    tokens = meter.create_histogram("tokens", explicit_bucket_boundaries_advisory=semconv.TOKEN_BUCKETS)
    duration = meter.create_histogram("duration", explicit_bucket_boundaries_advisory=semconv.DURATION_BUCKETS)

    def once() -> None:
        started = time.perf_counter()
        span = tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT)
        span.set_attributes(_ATTRIBUTES)
        tokens.record(1388, _METRIC)
        duration.record(time.perf_counter() - started, _METRIC)
        span.end()

    return once


def _cpu(run: Callable[[int], None], n: int) -> float:
    started = time.process_time()
    run(n)
    return (time.process_time() - started) / n * 1e6


@contextmanager
def ours() -> Generator[Sdk]:
    """Instrumented, for a block, with providers of its own (which cannot let go of a span processor)."""
    sdk = Sdk.fresh()
    otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters)
    try:
        with sdk.trace():
            yield sdk
    finally:
        otel_agentcost.uninstrument()


@dataclass(frozen=True)
class Result:
    """Medians over all blocks, in microseconds of CPU a call."""

    name: str
    bare: float
    floor: float
    added: float
    chunk: float | None
    """What a chunk of a stream costs."""

    @property
    def ratio(self) -> float:
        return self.added / self.floor


def no_budgets() -> NoReturn:
    """Nothing here has a budget that a gate would have to be opened for."""
    raise AssertionError


def chunk_cost(work: Workload) -> float:
    """Microseconds that a chunk gains: real parsed chunks through the tap and its reader, and through a bare generator.

    By itself, because the noise of parsing 200 chunks is a hundred times what is measured; without what the call
    costs once, which the other columns have.
    """
    assert work.stream is not None
    events = list(work.stream())
    form = load(work.format)
    call = form.read_request(work.body, "")
    request = ModelRequest(call=call, endpoint=endpoint("https://api.openai.com/v1", "openai"), format=form)
    sdk = Sdk.fresh()
    tracer, meter = sdk.tracers.get_tracer("chunks"), sdk.meters.get_meter("chunks")
    spans = Spans(tracer, {}, lambda: None)
    pipeline = Pipeline(open_book(), spans, Recorder(Metrics(meter)), Gates(no_budgets))

    def plain(chunks: list[Any]) -> Iterator[Any]:
        yield from chunks

    def tapped(chunks: list[Any]) -> Iterator[Any]:
        record = spans.open(request.call, request.endpoint.attributes)
        live = ActiveCall(request, record, None, time.time(), None, pipeline.settle_stream)
        live.sent = True
        pipeline.open_stream(live)
        return streams.tap(plain(chunks), live)

    def seconds(stream: Callable[[list[Any]], Iterator[Any]], chunks: list[Any]) -> float:
        started = time.process_time()
        deque(stream(chunks), maxlen=0)
        return time.process_time() - started

    once, few = events[:1], 100
    taps = min(seconds(tapped, events) for _ in range(few)) - min(seconds(tapped, once) for _ in range(few))
    bare = min(seconds(plain, events) for _ in range(few)) - min(seconds(plain, once) for _ in range(few))
    sdk.shut_down()
    return (taps - bare) / (len(events) - 1) * 1e6


def measure(work: Workload, blocks: int, calls: int, known_floor: float | None) -> Result:
    """Interleaved blocks: bare calls, bare calls with the floor round each, and ours.

    Beside a long stream, or inside an event loop, the floor drowns in the noise of the call: there `known_floor` is
    that of the same API's plain synchronous call, measured just before.
    """
    sdk = Sdk.fresh()
    once = floor(sdk)

    def floors(n: int) -> None:
        with sdk.trace():
            for _ in range(n):
                work.run(1)
                once()

    work.run(calls)
    bare, floored, added = [], [], []
    for _ in range(blocks):
        gc.collect()
        before = _cpu(work.run, calls)
        floored_call = _cpu(floors, calls) if known_floor is None else 0.0
        between = _cpu(work.run, calls)
        with ours() as fresh:
            work.run(2)
            instrumented = _cpu(work.run, calls)
        fresh.shut_down()
        after = _cpu(work.run, calls)
        floored.append(floored_call - (before + between) / 2 if known_floor is None else known_floor)
        added.append(instrumented - (between + after) / 2)
        bare.append(between)
    sdk.shut_down()
    median = statistics.median
    chunk = chunk_cost(work) if work.stream is not None else None
    return Result(work.name, median(bare), median(floored), median(added), chunk)


def table(*, quick: bool) -> list[Result]:
    """Measures all workloads and prints them."""
    print(f"{'call':40} {'bare µs':>9} {'floor µs':>9} {'added µs':>9} {'floors':>7} {'µs/chunk':>9}")
    results: list[Result] = []
    floors: dict[str, float] = {}
    for work in workloads():
        calls = 200 if work.stream is None else 20
        api = " ".join(work.name.split()[:2])
        result = measure(work, 5 if quick else 25, calls // 2 if quick else calls, floors.get(api))
        floors[api] = result.floor
        results.append(result)
        chunk = f"{result.chunk:9.2f}" if result.chunk is not None else ""
        print(
            f"{result.name:40} {result.bare:9.0f} {result.floor:9.1f} {result.added:9.1f} {result.ratio:7.2f} {chunk}",
            flush=True,
        )
    return results


if __name__ == "__main__":
    table(quick=False)
