"""However a stream ends, it settles exactly once, says what was known by then, and leaves the application as it was."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from itertools import islice
from typing import Any

import httpx2
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan

from tests.integrations.sdks.recorded_streams import ALL, CHAT, GEMINI, MESSAGES, RESPONSES, Streamed, Wire
from tests.support.call_shapes import instrumented, seen, warnings_of_ours
from tests.support.in_memory import Telemetry

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

TAKEN = 3
"""Events that are read before a stream is left."""


class Raised(Exception):
    """What the application raises by itself."""


def take(stream: Any, most: int = TAKEN) -> list[Any]:
    """The first events."""
    return list(islice(stream, most))


def to_the_end(stream: Any) -> Any:
    return [*stream, *stream]


def closed(stream: Any) -> Any:
    found = take(stream)
    stream.close()
    return found


def closed_twice(stream: Any) -> Any:
    stream.close()
    stream.close()
    return list(stream) if hasattr(stream, "response") and stream.response.is_stream_consumed else []


def with_break(stream: Any) -> Any:
    found: list[Any] = []
    with stream if hasattr(stream, "__enter__") else contextlib.closing(stream) as entered:
        for event in entered:
            found.append(event)
            if len(found) == TAKEN:
                break
    return found


def broken_off(stream: Any) -> Any:
    found: list[Any] = []
    for event in stream:
        found.append(event)
        if len(found) == TAKEN:
            break
    return found


def unread(stream: Any) -> Any:
    return type(stream).__qualname__


def raising(stream: Any) -> Any:
    for number, _ in enumerate(stream):
        if number == TAKEN - 1:
            raise Raised


def raising_within(stream: Any) -> Any:
    with stream if hasattr(stream, "__enter__") else contextlib.closing(stream) as entered:
        return raising(entered)


def by_next(stream: Any) -> Any:
    return [next(stream), next(stream), next(stream)]


ENDS: list[Callable[[Any], Any]] = [
    to_the_end,
    closed,
    closed_twice,
    with_break,
    broken_off,
    unread,
    raising,
    raising_within,
    by_next,
]
FAILED = [0, 1, 3]
"""After how many chunks the connection breaks."""


def outcome(case: Streamed, wire: Wire, end: Callable[[Any], Any]) -> Any:
    """What the application sees of one stream."""
    try:
        return seen(end(case.ask(wire.transport())))
    except Exception as error:
        return seen(error)


def watched(case: Streamed, wire: Wire, end: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The outcome, once the stream is gone, and how the connection was treated."""
    saw = outcome(case, wire, end)
    gc.collect()
    return saw, wire.handling


def check_partial(case: Streamed, span: ReadableSpan, usd: float) -> None:
    """A stream of which only a part came: what came is charged, by estimate, and the input that is known is kept."""
    given = dict(span.attributes or {})
    assert given.get("agentcost.usage.estimated") is True, given
    assert 0 < usd < 2 * case.whole_usd
    if case.known_input is not None:
        assert given["gen_ai.usage.input_tokens"] == case.known_input


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_end_of_a_stream(case: Streamed, end: Callable[[Any], Any], telemetry: Telemetry) -> None:
    """The application and the connection see the same as without us, and there is one span, whichever way it ends."""
    without = watched(case, Wire(case.chunks), end)
    before = context.get_current()
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = watched(case, Wire(case.chunks), end)
    assert with_us == without
    assert context.get_current() is before
    assert warned == []
    if case is GEMINI and end in {unread, closed_twice}:
        assert telemetry.spans == ()  # a generator that was never started has sent no request
        return
    span = telemetry.span(case.span)
    assert span.status.status_code.name == "UNSET"
    given = dict(span.attributes or {})
    assert telemetry.total("agentcost.cost") == given.get("agentcost.cost.usd", 0.0)
    if end is to_the_end:
        assert given["agentcost.cost.usd"] == case.whole_usd
        assert "agentcost.usage.estimated" not in given
    else:
        usd = given["agentcost.cost.usd"]
        assert isinstance(usd, float)
        if end not in {unread, closed_twice}:
            check_partial(case, span, usd)


@pytest.mark.parametrize("after", FAILED)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_connection_that_breaks(case: Streamed, after: int, telemetry: Telemetry) -> None:
    """A connection that breaks raises the SDK's own exception, and the span says which and what had come by then."""

    def broken() -> Wire:
        return Wire([*case.chunks[:after], httpx2.ReadError("the connection broke")])

    without = watched(case, broken(), list)
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = watched(case, broken(), list)
    assert with_us == without
    assert warned == []
    span = telemetry.span(case.span)
    assert span.status.status_code.name == "ERROR"
    given = dict(span.attributes or {})
    seen_kind = str(with_us[0][0])
    assert given["error.type"] == seen_kind
    if after == FAILED[-1]:
        check_partial(case, span, telemetry.total("agentcost.cost"))
    assert telemetry.histogram("gen_ai.client.operation.duration", error__type=seen_kind).count == 1


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_current_span_inside_the_loop_is_the_applications(case: Streamed, telemetry: Telemetry) -> None:
    """Inside the loop, and after a stream that was left, the application's span is current; ours is its child."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry), tracer.start_as_current_span("turn") as turn:
        for number, _ in enumerate(case.ask(Wire(case.chunks).transport())):
            assert trace.get_current_span() is turn
            if number == 1:
                break
        gc.collect()
        assert trace.get_current_span() is turn
    span = telemetry.span(case.span)
    assert span.parent is not None
    assert span.parent.span_id == turn.get_span_context().span_id


@pytest.mark.parametrize("case", [CHAT, RESPONSES, MESSAGES], ids=lambda case: case.name)
def test_types_and_methods_of_a_stream_stay(case: Streamed, telemetry: Telemetry) -> None:
    """A stream is an instance of the SDK's class, with its `response`, `close` and iterator protocol."""
    plain = case.ask(Wire(case.chunks).transport())
    with instrumented(telemetry):
        ours = case.ask(Wire(case.chunks).transport())
        assert type(ours) is type(plain)
        assert {name for name in dir(plain) if not name.startswith("_")} == {
            name for name in dir(ours) if not name.startswith("_")
        }
        assert type(ours.response) is type(plain.response)
        assert iter(ours) is not None
        ours.close()
    plain.close()


@pytest.mark.parametrize("case", [CHAT, RESPONSES, MESSAGES], ids=lambda case: case.name)
def test_closing_the_http_response_settles(case: Streamed, telemetry: Telemetry) -> None:
    """An application that closes the HTTP response under the stream has ended the call, there and then."""
    wire = Wire(case.chunks)
    with instrumented(telemetry):
        stream = case.ask(wire.transport())
        take(stream)
        stream.response.close()
        assert wire.closed == 1
        assert len(telemetry.spans) == 1
        stream.close()
    assert len(telemetry.spans) == 1


ERRORS = [
    (CHAT, b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'),
    (MESSAGES, b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}\n\n'),
    (GEMINI, b'data: {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}\n\n'),
]


@pytest.mark.parametrize(("case", "event"), ERRORS, ids=[case.name for case, _ in ERRORS])
def test_error_event_in_a_stream(case: Streamed, event: bytes, telemetry: Telemetry) -> None:
    """An error that the provider sends within a stream reaches the application as it does without us."""

    def failing() -> Wire:
        return Wire([*case.chunks[:4], event])

    without = watched(case, failing(), list)
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = watched(case, failing(), list)
    assert with_us == without
    assert warned == []
    span = telemetry.span(case.span)
    assert span.status.status_code.name == "ERROR"
    assert dict(span.attributes or {})["error.type"]


def test_stream_of_the_application_that_outlives_uninstrument(telemetry: Telemetry) -> None:
    """A stream that is under way when we are taken off still settles."""
    with instrumented(telemetry):
        stream = CHAT.ask(Wire(CHAT.chunks).transport())
        take(stream)
    list(stream)
    assert telemetry.attributes()["agentcost.cost.usd"] == CHAT.whole_usd
