"""The ends of asynchronous streams: read, closed, broken off, cancelled, or closed by the event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from opentelemetry import context, trace

from tests.integrations.sdks.recorded_streams import ALL, CHAT, GEMINI, MESSAGES, RESPONSES, Streamed, Wire
from tests.integrations.sdks.test_stream_ends import TAKEN, Raised, check_partial
from tests.support.call_shapes import instrumented, seen, warnings_of_ours
from tests.support.in_memory import Telemetry

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

End = Callable[[Any], Awaitable[Any]]
KEPT: list[Any] = []
"""Streams that outlive their event loop."""


async def take(stream: Any) -> list[Any]:
    """The first events."""
    found: list[Any] = []
    async for event in stream:
        found.append(event)
        if len(found) == TAKEN:
            break
    return found


async def to_the_end(stream: Any) -> Any:
    return [event async for event in stream]


async def closed(stream: Any) -> Any:
    found = await take(stream)
    await (stream.close() if hasattr(stream, "close") else stream.aclose())
    return found


async def with_break(stream: Any) -> Any:
    if not hasattr(stream, "__aenter__"):
        return await closed(stream)
    async with stream as entered:
        return await take(entered)


async def broken_off(stream: Any) -> Any:
    return await take(stream)


async def unread(stream: Any) -> Any:
    return type(stream).__qualname__


async def raising(stream: Any) -> Any:
    await take(stream)
    raise Raised


async def by_anext(stream: Any) -> Any:
    return [await anext(stream), await anext(stream), await anext(stream)]


async def kept_until_the_loop_is_closed(stream: Any) -> Any:
    KEPT.append(stream)
    return await take(stream)


ENDS: list[End] = [
    to_the_end,
    closed,
    with_break,
    broken_off,
    unread,
    raising,
    by_anext,
    kept_until_the_loop_is_closed,
]


async def settled(case: Streamed, wire: Wire, end: End) -> Any:
    """What the application sees; afterwards the loop has had the time to close what was dropped."""
    try:
        saw = seen(await end(await case.ask_async(wire.transport())))
    except Exception as error:
        saw = seen(error)
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.001)
    return saw


def watched(case: Streamed, wire: Wire, end: End) -> tuple[Any, Any]:
    """The outcome of one stream in an event loop of its own, and how the connection was treated."""
    saw = asyncio.run(settled(case, wire, end))
    KEPT.clear()
    gc.collect()
    return saw, wire.handling


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_end_of_an_asynchronous_stream(case: Streamed, end: End, telemetry: Telemetry) -> None:
    """The application and the connection see the same as without us, and there is one span, whichever way it ends."""
    without = watched(case, Wire(case.chunks), end)
    before = context.get_current()
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = watched(case, Wire(case.chunks), end)
    assert with_us == without
    assert context.get_current() is before
    assert warned == []
    if case is GEMINI and end is unread:
        assert telemetry.spans == ()  # a generator that was never started has sent no request
        return
    span = telemetry.span(case.span)
    assert span.status.status_code.name == "UNSET"
    given = dict(span.attributes or {})
    if end is to_the_end:
        assert given["agentcost.cost.usd"] == case.whole_usd
    elif end is not unread:
        check_partial(case, span, telemetry.total("agentcost.cost"))
    assert telemetry.total("gen_ai.client.operation.cost") == given["agentcost.cost.usd"]


async def cancelled_at(case: Streamed, wire: Wire, chunk: int) -> Any:
    """Reads in a task that is cancelled while it waits for `chunk`."""
    waiting = asyncio.Event()
    reached: list[int] = []

    async def hold() -> None:
        reached.append(1)
        if len(reached) > chunk:
            waiting.set()
            await asyncio.sleep(30)

    wire.each_async = hold

    async def read() -> list[Any]:
        return [event async for event in await case.ask_async(wire.transport())]

    task = asyncio.create_task(read())
    await asyncio.wait_for(waiting.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.001)
    return wire.handling


@pytest.mark.parametrize("chunk", [0, 3])
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_task_cancelled_in_a_stream(case: Streamed, chunk: int, telemetry: Telemetry) -> None:
    """A cancelled task settles its stream with what had come, and the connection is given back as without us."""
    without = asyncio.run(cancelled_at(case, Wire(case.chunks), chunk))
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = asyncio.run(cancelled_at(case, Wire(case.chunks), chunk))
    assert with_us == without
    assert warned == []
    span = telemetry.span(case.span)
    given = dict(span.attributes or {})
    assert given["error.type"] == "asyncio.exceptions.CancelledError"
    assert span.status.status_code.name == "ERROR"
    if chunk:
        check_partial(case, span, telemetry.total("agentcost.cost"))


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_task_cancelled_during_create(case: Streamed, telemetry: Telemetry) -> None:
    """A task that is cancelled while it waits for the response is a span with the cancellation, and nothing leaks."""

    async def main() -> None:
        started = asyncio.Event()

        async def hang(_: httpx2.Request) -> httpx2.Response:
            started.set()
            await asyncio.sleep(30)
            raise AssertionError

        async def call() -> None:
            async for _ in await case.ask_async(httpx2.MockTransport(hang)):
                pass

        task = asyncio.create_task(call())
        await asyncio.wait_for(started.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert trace.get_current_span() is trace.INVALID_SPAN

    with warnings_of_ours() as warned, instrumented(telemetry):
        asyncio.run(main())
    assert warned == []
    given = telemetry.attributes(case.span)
    assert given["error.type"] == "asyncio.exceptions.CancelledError"
    assert "not known" in str(given["agentcost.unpriced"])
    assert "agentcost.cost.usd" not in given


@pytest.mark.parametrize("case", [CHAT, RESPONSES, MESSAGES], ids=lambda case: case.name)
def test_many_streams_at_once(case: Streamed, telemetry: Telemetry) -> None:
    """Concurrent streams, some of them left half-way, are one span each, and the context never leaks between them."""

    async def one(number: int) -> None:
        stream = await case.ask_async(Wire(case.chunks).transport())
        end = to_the_end if number % 2 else closed
        await end(stream)
        assert trace.get_current_span() is trace.INVALID_SPAN

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    with warnings_of_ours() as warned, instrumented(telemetry):
        asyncio.run(main())
    assert warned == []
    assert len(telemetry.spans) == 20
    whole = [span for span in telemetry.spans if "agentcost.usage.estimated" not in (span.attributes or {})]
    assert [dict(span.attributes or {})["agentcost.cost.usd"] for span in whole] == [case.whole_usd] * 10


@pytest.mark.parametrize("case", [CHAT, RESPONSES, MESSAGES], ids=lambda case: case.name)
def test_one_thread_closes_while_another_reads(case: Streamed, telemetry: Telemetry) -> None:
    """A stream that one thread reads and another closes settles once, and neither thread sees an error of ours."""
    reached = threading.Event()
    proceed = threading.Event()

    def slow() -> None:
        if wire.read == TAKEN:
            reached.set()
            proceed.wait(5)

    wire = Wire(case.chunks, each=slow)
    errors: list[BaseException] = []

    def read(stream: Any) -> None:
        try:
            list(stream)
        except BaseException as error:
            errors.append(error)

    with warnings_of_ours() as warned, instrumented(telemetry):
        stream = case.ask(wire.transport())
        reader = threading.Thread(target=read, args=(stream,))
        reader.start()
        assert reached.wait(5)
        stream.response.close()
        proceed.set()
        reader.join(5)
        del stream
        gc.collect()
    assert warned == []
    assert [type(error).__name__ for error in errors if not isinstance(error, httpx2.StreamError)] == []
    assert len(telemetry.spans) == 1


def test_gemini_generator_dropped_by_the_loop_is_one_span(telemetry: Telemetry) -> None:
    """Gemini's asynchronous stream is a generator: a half-read one is closed by the loop, and settles there."""

    async def main() -> None:
        async for _ in await GEMINI.ask_async(Wire(GEMINI.chunks).transport()):
            return

    with warnings_of_ours() as warned, instrumented(telemetry):
        asyncio.run(main())
        gc.collect()
    assert warned == []
    check_partial(GEMINI, telemetry.span(GEMINI.span), telemetry.total("agentcost.cost"))
