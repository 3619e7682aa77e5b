"""Watching a stream go by without being in it.

The application keeps the very object that the SDK returned. Its inner iterator is replaced by one that shows each
event to the reader and hands on the same event; a raw response gets its byte iterators replaced in the same way.
However a stream ends (read out, error, close, `break`, dropped, cancelled), it settles once, with what was known.

The loops below run once a chunk: nothing else may be added to them.
"""

# Objects of SDKs, of which this package knows no types, enter here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from otel_agentcost.diagnostics import apart, report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.wire.fields import parsed

if TYPE_CHECKING:
    from otel_agentcost.calls.call import InFlight

_MOST_BODY = 32 * 1024 * 1024


class _Passing:
    """The time in which a stream passes: tells `live` how it ended, and lets every exception through."""

    __slots__ = ("_live",)

    def __init__(self, live: InFlight) -> None:
        self._live = live

    def __enter__(self) -> None:
        """Nothing: the stream has begun already."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if kind is GeneratorExit:
            self._live.abandoned()
        else:
            self._live.ended(error)


def tap(events: Iterator[Any], live: InFlight) -> Iterator[Any]:
    """The same events, each shown to the reader of `live` first.

    Raises `BudgetExceeded`, and closes the stream behind it, before the event with which the answer passes its budget.
    """
    feed = live.feed
    first = True
    with _Passing(live):
        for event in events:
            if first:
                first = False
                live.first_chunk()
            try:
                feed(event)
            except BudgetExceeded as outrun:
                _cut_off(events, outrun)
                raise
            except Exception as bug:
                feed = live.unreadable(bug)
            yield event


async def tap_async(
    events: AsyncIterator[Any], live: InFlight, close: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Any]:
    """`tap` for an asynchronous stream. `close` closes the HTTP response, where `events` does not by being closed."""
    feed = live.feed
    first = True
    with _Passing(live):
        async for event in events:
            if first:
                first = False
                live.first_chunk()
            try:
                feed(event)
            except BudgetExceeded as outrun:
                await _cut_off_async(events, outrun, close)
                raise
            except Exception as bug:
                feed = live.unreadable(bug)
            yield event


def _cut_off(events: Any, outrun: BudgetExceeded, close: Callable[[], object] | None = None) -> None:
    """Ends the SDK's own iterator as if it had raised `outrun` itself: it closes its HTTP response, and whatever else
    watches it there (anthropic's own tracing) learns why. Where it does not close that, `close` does.
    """
    trace = outrun.__traceback__
    throw = partial(events.throw, outrun) if hasattr(events, "throw") else None
    for end in (close, throw, getattr(events, "close", None)):
        with suppress(Exception):
            if end is not None:
                end()
    outrun.__traceback__ = trace  # it went through this frame, which knows it: a cycle


async def _cut_off_async(
    events: Any, outrun: BudgetExceeded, close: Callable[[], Awaitable[object]] | None = None
) -> None:
    """`_cut_off` for an asynchronous stream."""
    trace = outrun.__traceback__
    throw = partial(events.athrow, outrun) if hasattr(events, "athrow") else None
    for end in (close, throw, getattr(events, "aclose", None)):
        with suppress(Exception):
            if end is not None:
                await end()
    outrun.__traceback__ = trace


def watch_close(response: Any, live: InFlight, running: Callable[[], bool]) -> None:
    """Settles `live` when the application closes the HTTP response under its stream.

    A close that comes from inside the stream itself (`running`: its last event, or its error, is on its way) is left
    to the tap, which knows how it ended.
    """
    kind: Any = type(response)
    watching = weakref.ref(live)  # a stream that is dropped unread settles at once: the response must not hold it

    def over() -> None:
        if (alive := watching()) is not None and not running():
            apart(alive.closed)  # the SDK's own finalizers close responses
        # What we put on the response refers to the response (a weak reference would be dead when a collection closes
        # a dropped stream, and its connection would never be released): so it goes as soon as it has done its work.
        vars(response).pop("close", None)
        vars(response).pop("aclose", None)

    def close() -> None:
        over()
        kind.close(response)

    async def aclose() -> None:
        over()
        await kind.aclose(response)

    if hasattr(kind, "close"):
        response.close = close
    if hasattr(kind, "aclose"):
        response.aclose = aclose


def watch_events(stream: Any, live: InFlight) -> None:
    """Taps an SDK's stream object (`Stream`, `AsyncStream`), which keeps its type and all its methods."""
    inner = stream._iterator
    if hasattr(inner, "__anext__"):
        tapped: Any = tap_async(inner, live)
        reference = weakref.ref(tapped)
        _watch(stream, live, lambda: (alive := reference()) is not None and alive.ag_running)
    else:
        tapped = tap(inner, live)
        reference = weakref.ref(tapped)
        _watch(stream, live, lambda: (alive := reference()) is not None and alive.gi_running)
    stream._iterator = tapped


def _watch(stream: Any, live: InFlight, running: Callable[[], bool]) -> None:
    response = getattr(stream, "response", None)
    if response is not None:
        watch_close(response, live, running)


class Bytes:
    """Reads the events, or the body, of a raw response out of its bytes as they pass."""

    def __init__(self, live: InFlight, content_type: str) -> None:
        self._live = live
        self._sse = "event-stream" in content_type
        self._json = "json" in content_type and not self._sse
        self._rest = b""
        self._body: list[bytes] = []
        self._size = 0
        self.reading = False
        """Whether the bytes are being pulled right now: a close from inside is then the natural end."""

    def feed(self, data: bytes) -> None:
        """Takes in decoded bytes, cut anywhere. Raises `BudgetExceeded` if the application must not get them."""
        try:
            self._live.first_chunk()
            if self._sse:
                self._lines(data)
            elif self._json:
                self._size += len(data)
                if self._size <= _MOST_BODY:
                    self._body.append(data)
        except BudgetExceeded:
            raise
        except Exception as error:
            report("reading a raw response", error)

    def _lines(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload and payload != b"[DONE]":
                    self._live.feed(parsed(payload))

    def body(self) -> Any:
        """The JSON body, once it has passed; None where it was no JSON, or too long to keep."""
        return parsed(b"".join(self._body)) if self._body and self._size <= _MOST_BODY else None

    @property
    def streamed(self) -> bool:
        """Whether the response is a stream of events."""
        return self._sse


def watch_bytes(response: Any, live: InFlight) -> None:
    """Taps an HTTP response that the application reads by itself (`with_streaming_response`, raw streams)."""
    content_type = str(response.headers.get("content-type", ""))
    seen = Bytes(live, content_type)
    live.bytes = seen
    decoding = False
    reference = weakref.ref(response)
    kind: Any = type(response)
    encoded = str(response.headers.get("content-encoding", "identity")).lower() not in {"", "identity"}

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        nonlocal decoding
        decoding = True
        return _tap_bytes(kind.iter_bytes(_alive(reference), chunk_size), seen, live, reference)

    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        raw: Iterator[bytes] = kind.iter_raw(_alive(reference), chunk_size)
        return raw if decoding or encoded else _tap_bytes(raw, seen, live, reference)

    def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        nonlocal decoding
        decoding = True
        return _tap_bytes_async(kind.aiter_bytes(_alive(reference), chunk_size), seen, live, reference)

    def aiter_raw(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        raw: AsyncIterator[bytes] = kind.aiter_raw(_alive(reference), chunk_size)
        return raw if decoding or encoded else _tap_bytes_async(raw, seen, live, reference)

    response.iter_bytes, response.iter_raw = iter_bytes, iter_raw
    response.aiter_bytes, response.aiter_raw = aiter_bytes, aiter_raw
    watch_close(response, live, lambda: seen.reading)


def _alive(reference: weakref.ref[Any]) -> Any:
    return reference()


def _tap_bytes(chunks: Iterator[bytes], seen: Bytes, live: InFlight, response: weakref.ref[Any]) -> Iterator[bytes]:
    with _Passing(live):
        while True:
            seen.reading = True
            try:
                chunk = next(chunks, None)
            finally:
                seen.reading = False
            if chunk is None:
                break
            try:
                seen.feed(chunk)
            except BudgetExceeded as outrun:
                seen.reading = True
                _cut_off(chunks, outrun, _alive(response).close)
                raise
            yield chunk


async def _tap_bytes_async(
    chunks: AsyncIterator[bytes], seen: Bytes, live: InFlight, response: weakref.ref[Any]
) -> AsyncIterator[bytes]:
    with _Passing(live):
        while True:
            seen.reading = True
            try:
                chunk = await anext(chunks, None)
            finally:
                seen.reading = False
            if chunk is None:
                break
            try:
                seen.feed(chunk)
            except BudgetExceeded as outrun:
                seen.reading = True
                await _cut_off_async(chunks, outrun, _alive(response).aclose)
                raise
            yield chunk


_LOCKED = ("opentelemetry.sdk", "opentelemetry.exporter", "otel_agentcost.")
_FINALIZERS = frozenset({"otel_agentcost.calls.streams", "otel_agentcost.calls.call"})


def inside_telemetry() -> bool:
    """Whether this thread is, right now, inside the OpenTelemetry SDK or inside this package.

    A stream that is dropped settles from a finalizer, and finalizers run at any allocation: also within a lock of
    the metrics SDK, where recording a metric would wait for itself for ever. The frames of the finalizer itself,
    on top of the stack, do not count.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _FINALIZERS:
        frame = frame.f_back
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_LOCKED) or _of_a_processor(frame):
            return True
        frame = frame.f_back
    return False


def _of_a_processor(frame: FrameType) -> bool:
    """Whether it is a method of a span processor or an exporter, whoever wrote it: it may hold a lock of its own."""
    code = frame.f_code
    if not code.co_argcount or code.co_varnames[0] != "self":
        return False
    kind: Any = type(frame.f_locals.get("self"))
    return (hasattr(kind, "on_start") and hasattr(kind, "on_end")) or (
        hasattr(kind, "export") and hasattr(kind, "shutdown")
    )
