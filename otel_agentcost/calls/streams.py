"""Taps on a stream: the application reads it as before, and each event is shown to a listener first.

The application keeps the very object that the SDK returned. Its inner iterator is replaced by one that shows each
event to the listener and hands on the same event; a raw response gets its byte iterators replaced in the same way.
However a stream ends (read out, error, close, `break`, dropped, cancelled), the listener learns it once.

The loops below run once a chunk: nothing else may be added to them.
"""

# Objects of SDKs, of which this package knows no types, enter here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from otel_agentcost.calls import finalize
from otel_agentcost.diagnostics import apart, report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.wire.fields import parsed

_MAX_BODY = 32 * 1024 * 1024
"""Bytes of a raw response that are kept to read its body."""

finalize.FINALIZERS.add(__name__)


class StreamListener(Protocol):
    """What a tap shows a stream to: a call in flight."""

    feed: Callable[[Any], object]
    """Takes in one event. Raises `BudgetExceeded` if the application must not get it."""

    def first_chunk(self) -> None:
        """The first chunk has arrived. Later calls change nothing."""
        ...

    def unreadable(self, bug: Exception) -> Callable[[Any], object]:
        """`feed` failed on an event. Returns the function that takes in the events after it."""
        ...

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """The stream has ended: read to its end (`complete`), with `error`, or closed before its end."""
        ...

    def dropped(self) -> None:
        """The stream was dropped before its end. Called from a finalizer, where telemetry must not be touched."""
        ...


class _Passing:
    """The time in which a stream passes: tells the listener how it ended, and lets every exception through."""

    __slots__ = ("_listener",)

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        """Nothing: the stream has begun already."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if kind is GeneratorExit:
            self._listener.dropped()
        else:
            self._listener.end(error, complete=error is None)


def tap(events: Iterator[Any], listener: StreamListener) -> Iterator[Any]:
    """The same events, each shown to the reader of `listener` first.

    Raises `BudgetExceeded`, and closes the stream behind it, before the event with which the answer passes its budget.
    """
    feed = listener.feed
    first = True
    with _Passing(listener):
        for event in events:
            if first:
                first = False
                listener.first_chunk()
            try:
                feed(event)
            except BudgetExceeded as outrun:
                _cut_off(events, outrun)
                raise
            except Exception as bug:
                feed = listener.unreadable(bug)
            yield event


async def tap_async(
    events: AsyncIterator[Any], listener: StreamListener, close: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Any]:
    """`tap` for an asynchronous stream. `close` closes the HTTP response, where `events` does not by being closed."""
    feed = listener.feed
    first = True
    with _Passing(listener):
        async for event in events:
            if first:
                first = False
                listener.first_chunk()
            try:
                feed(event)
            except BudgetExceeded as outrun:
                await _cut_off_async(events, outrun, close)
                raise
            except Exception as bug:
                feed = listener.unreadable(bug)
            yield event


def tapped(events: Any, listener: StreamListener, close: Callable[[], Awaitable[object]] | None = None) -> Any:
    """Return `events`, a synchronous or an asynchronous iterator, through `tap` or `tap_async`."""
    return tap_async(events, listener, close) if hasattr(events, "__anext__") else tap(events, listener)


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


def watch_close(response: Any, listener: StreamListener, running: Callable[[], bool]) -> None:
    """Settles `listener` when the application closes the HTTP response under its stream.

    A close that comes from inside the stream itself (`running`: its last event, or its error, is on its way) is left
    to the tap, which knows how it ended.
    """
    kind: Any = type(response)
    watching = weakref.ref(listener)  # a stream that is dropped unread settles at once: the response must not hold it

    def over() -> None:
        if (alive := watching()) is not None and not running():
            apart(partial(alive.end, complete=False))  # the SDK's own finalizers close responses
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


def watch_events(stream: Any, listener: StreamListener) -> None:
    """Taps an SDK's stream object (`Stream`, `AsyncStream`), which keeps its type and all its methods."""
    inner = stream._iterator
    if hasattr(inner, "__anext__"):
        tapped: Any = tap_async(inner, listener)
        reference = weakref.ref(tapped)
        _watch(stream, listener, lambda: (alive := reference()) is not None and alive.ag_running)
    else:
        tapped = tap(inner, listener)
        reference = weakref.ref(tapped)
        _watch(stream, listener, lambda: (alive := reference()) is not None and alive.gi_running)
    stream._iterator = tapped


def _watch(stream: Any, listener: StreamListener, running: Callable[[], bool]) -> None:
    response = getattr(stream, "response", None)
    if response is not None:
        watch_close(response, listener, running)


class RawReader:
    """Reads the events, or the body, of a raw response out of its bytes as they pass."""

    def __init__(self, listener: StreamListener, content_type: str) -> None:
        self._listener = listener
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
            self._listener.first_chunk()
            if self._sse:
                self._lines(data)
            elif self._json:
                self._size += len(data)
                if self._size <= _MAX_BODY:
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
                    self._listener.feed(parsed(payload))

    def body(self) -> Any:
        """The JSON body, once it has passed; None where it was no JSON, or too long to keep."""
        return parsed(b"".join(self._body)) if self._body and self._size <= _MAX_BODY else None

    @property
    def streamed(self) -> bool:
        """Whether the response is a stream of events."""
        return self._sse


def watch_bytes(response: Any, listener: StreamListener) -> RawReader:
    """Taps an HTTP response that the application reads by itself (`with_streaming_response`, raw streams)."""
    content_type = str(response.headers.get("content-type", ""))
    seen = RawReader(listener, content_type)
    decoding = False
    reference = weakref.ref(response)
    kind: Any = type(response)
    encoded = str(response.headers.get("content-encoding", "identity")).lower() not in {"", "identity"}

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        nonlocal decoding
        decoding = True
        return _tap_bytes(kind.iter_bytes(_alive(reference), chunk_size), seen, listener, reference)

    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        raw: Iterator[bytes] = kind.iter_raw(_alive(reference), chunk_size)
        return raw if decoding or encoded else _tap_bytes(raw, seen, listener, reference)

    def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        nonlocal decoding
        decoding = True
        return _tap_bytes_async(kind.aiter_bytes(_alive(reference), chunk_size), seen, listener, reference)

    def aiter_raw(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        raw: AsyncIterator[bytes] = kind.aiter_raw(_alive(reference), chunk_size)
        return raw if decoding or encoded else _tap_bytes_async(raw, seen, listener, reference)

    response.iter_bytes, response.iter_raw = iter_bytes, iter_raw
    response.aiter_bytes, response.aiter_raw = aiter_bytes, aiter_raw
    watch_close(response, listener, lambda: seen.reading)
    return seen


def _alive(reference: weakref.ref[Any]) -> Any:
    return reference()


def _tap_bytes(
    chunks: Iterator[bytes], seen: RawReader, listener: StreamListener, response: weakref.ref[Any]
) -> Iterator[bytes]:
    with _Passing(listener):
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
    chunks: AsyncIterator[bytes], seen: RawReader, listener: StreamListener, response: weakref.ref[Any]
) -> AsyncIterator[bytes]:
    with _Passing(listener):
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
