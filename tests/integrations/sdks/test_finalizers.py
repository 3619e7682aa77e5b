"""A stream that is dropped settles from a finalizer, and a finalizer may run anywhere: also in a lock of telemetry."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tests.integrations.sdks.raw_bodies import CHAT as ASK_CHAT
from tests.integrations.sdks.raw_bodies import answer
from tests.integrations.sdks.recorded_streams import CHAT, MESSAGES, Streamed, Wire
from tests.integrations.sdks.test_stream_ends import take
from tests.support.call_shapes import instrumented, warnings_of_ours
from tests.support.in_memory import Telemetry

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")


class Collecting(SpanProcessor):
    """Collects garbage inside the span's life, as any allocation there may."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        gc.collect()

    def on_end(self, span: ReadableSpan) -> None:
        gc.collect()


def in_time(action: Callable[[], None]) -> None:
    """Runs an action in a thread: one that waits for itself is a failure, not a test that never ends."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "a deadlock"
    assert errors == []


@pytest.mark.parametrize("case", [CHAT, MESSAGES], ids=lambda case: case.name)
def test_stream_collected_while_a_span_starts_and_ends(case: Streamed, telemetry: Telemetry) -> None:
    """A half-read stream in a cycle, collected inside the SDK of OpenTelemetry, settles later and blocks nobody."""
    telemetry.tracer_provider.add_span_processor(Collecting())

    def work() -> None:
        for _ in range(5):
            stream = case.ask(Wire(case.chunks).transport())
            take(stream)
            stream.itself = stream
            del stream
            answer(ASK_CHAT, [b"{}"])
        gc.collect()
        telemetry.tracer_provider.force_flush()
        answer(ASK_CHAT, [b"{}"])

    with warnings_of_ours() as warned, instrumented(telemetry):
        in_time(work)
    assert warned == []
    estimated = [span for span in telemetry.spans if "agentcost.usage.estimated" in (span.attributes or {})]
    assert len(estimated) == 5


def test_stream_collected_while_metrics_are_recorded(telemetry: Telemetry) -> None:
    """The same within the metrics SDK: its aggregation allocates under its own lock."""
    meter = telemetry.meter_provider.get_meter("application")

    class Name(str):
        """An attribute that collects garbage whenever it is hashed, which the metrics SDK does in its lock."""

        __slots__ = ()

        def __hash__(self) -> int:
            gc.collect()
            return super().__hash__()

    def work() -> None:
        counter = meter.create_histogram("h")
        for number in range(5):
            stream = CHAT.ask(Wire(CHAT.chunks).transport())
            take(stream)
            stream.itself = stream
            del stream
            counter.record(1, {"a": Name(number)})
            telemetry.metrics()
        answer(ASK_CHAT, [b"{}"])

    with instrumented(telemetry):
        in_time(work)
    estimated = [span for span in telemetry.spans if "agentcost.usage.estimated" in (span.attributes or {})]
    assert len(estimated) == 5


def test_threads_that_drop_streams_while_metrics_are_collected(telemetry: Telemetry) -> None:
    """Readers, droppers and collections at the same time: every stream is one span in the end."""
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            telemetry.metrics()
            gc.collect()

    def drop() -> None:
        for number in range(30):
            stream = CHAT.ask(Wire(CHAT.chunks).transport())
            take(stream, number % 6)

    def work() -> None:
        collector = threading.Thread(target=collect)
        threads = [threading.Thread(target=drop) for _ in range(4)]
        for thread in (collector, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        collector.join()
        gc.collect()
        telemetry.tracer_provider.force_flush()

    with warnings_of_ours() as warned, instrumented(telemetry):
        in_time(work)
    assert warned == []
    assert len(telemetry.spans) == 120


class Marking(SpanProcessor):
    """Sets a context variable when a span ends, as exporters do that suppress their own instrumentation."""

    def __init__(self) -> None:
        self.variable: ContextVar[str] = ContextVar("marked", default="untouched")
        self.ended = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.variable.set(span.name)
        self.ended += 1


@pytest.mark.parametrize("case", [CHAT, MESSAGES], ids=lambda case: case.name)
def test_a_finalizer_leaves_the_context_alone_that_it_runs_in(case: Streamed, telemetry: Telemetry) -> None:
    """A collection may start within `ContextVar.set`, and before Python 3.12 a second set in the same context is a
    crash: what a dropped stream sets while it settles, it sets in a context of its own.
    """
    marking = Marking()
    telemetry.tracer_provider.add_span_processor(marking)
    with instrumented(telemetry):
        stream = case.ask(Wire(case.chunks).transport())
        take(stream)
        stream.itself = stream
        del stream
        gc.collect()
    assert marking.ended == 1
    assert marking.variable.get() == "untouched"
