"""Tap a stream: pass each event to a listener before the application gets it.

The application keeps the object that the SDK returned. Its inner iterator is replaced by one that passes each event to
the listener and then yields the same event. The byte iterators of a raw response are replaced in the same way. When a
stream ends (exhausted, error, close, `break`, dropped, cancelled), the listener is informed once.

The loops below run once for each chunk: keep them minimal.
"""

# Objects of SDKs have no types here:
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
"""The maximum size of a raw response in bytes. The body of a larger one is not read."""

finalize.FINALIZERS.add(__name__)


class Feed(Protocol):
    """Takes in one event of a stream. Raises `BudgetExceeded` if the application must not get it."""

    def __call__(self, event: Any, /) -> object: ...


class StreamListener(Protocol):
    """The receiver of a stream's events: an in-flight call."""

    feed: Feed
    """Processes one event. Raises `BudgetExceeded` if the application must not get it."""

    def first_chunk(self) -> None:
        """The first chunk has arrived. Later calls change nothing."""
        ...

    def unreadable(self, bug: Exception) -> Feed:
        """Handle an exception of `feed`. Return the function that replaces `feed` for the events after it."""
        ...

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """Handle the end of the stream: exhausted (`complete`), failed with `error`, or closed early."""
        ...

    def dropped(self) -> None:
        """Handle a stream that was dropped early. Runs in a finalizer, where calling telemetry can deadlock."""
        ...


class _StreamEnd:
    """Informs the listener of the end of a stream. Every exception passes unchanged."""

    __slots__ = ("_listener",)

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        """Do nothing: the stream has started already."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if kind is GeneratorExit:
            self._listener.dropped()
        else:
            self._listener.end(error, complete=error is None)


def tap(events: Iterator[Any], listener: StreamListener) -> Iterator[Any]:
    """Yield the events, each after `listener.feed` has processed it.

    Raises:
        BudgetExceeded: The next event exceeds the budget of the call. The stream is closed.
    """
    feed = listener.feed
    first = True
    with _StreamEnd(listener):
        for event in events:
            if first:
                first = False
                listener.first_chunk()
            try:
                feed(event)
            except BudgetExceeded as error:
                _cut_off(events, error)
                raise
            except Exception as bug:
                feed = listener.unreadable(bug)
            yield event


async def tap_async(
    events: AsyncIterator[Any], listener: StreamListener, close: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Any]:
    """Do the same as `tap`, for an asynchronous stream.

    Args:
        events: The events.
        listener: The receiver of the events.
        close: Closes the HTTP response, if closing `events` does not close it.
    """
    feed = listener.feed
    first = True
    with _StreamEnd(listener):
        async for event in events:
            if first:
                first = False
                listener.first_chunk()
            try:
                feed(event)
            except BudgetExceeded as error:
                await _cut_off_async(events, error, close)
                raise
            except Exception as bug:
                feed = listener.unreadable(bug)
            yield event


def tapped(events: Any, listener: StreamListener, close: Callable[[], Awaitable[object]] | None = None) -> Any:
    """Return `events`, a synchronous or an asynchronous iterator, through `tap` or `tap_async`."""
    return tap_async(events, listener, close) if hasattr(events, "__anext__") else tap(events, listener)


def _cut_off(events: Any, error: BudgetExceeded, close: Callable[[], object] | None = None) -> None:
    """End the SDK's iterator as if it had raised `error` itself.

    The iterator then closes its HTTP response, and tracing inside the SDK (as in anthropic) records the error.

    Args:
        events: The SDK's iterator.
        error: The exception.
        close: Closes the HTTP response, if the iterator does not close it.
    """
    traceback = error.__traceback__
    throw = partial(events.throw, error) if hasattr(events, "throw") else None
    for end in (close, throw, getattr(events, "close", None)):
        with suppress(Exception):
            if end is not None:
                end()
    error.__traceback__ = traceback  # the new traceback refers to this frame, which refers to `error`: a cycle


async def _cut_off_async(
    events: Any, error: BudgetExceeded, close: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Do the same as `_cut_off`, for an asynchronous stream."""
    traceback = error.__traceback__
    throw = partial(events.athrow, error) if hasattr(events, "athrow") else None
    for end in (close, throw, getattr(events, "aclose", None)):
        with suppress(Exception):
            if end is not None:
                await end()
    error.__traceback__ = traceback


def watch_close(response: Any, listener: StreamListener, running: Callable[[], bool]) -> None:
    """End the stream of `listener` when the application closes the HTTP response.

    Args:
        response: The HTTP response.
        listener: The receiver of the events.
        running: Returns True while the stream itself runs. A close from there is ignored, because the tap reports the
            end of the stream with its cause.
    """
    kind: Any = type(response)
    reference = weakref.ref(listener)  # the response must not keep a dropped stream alive: it settles at once

    def on_close() -> None:
        if (alive := reference()) is not None and not running():
            apart(partial(alive.end, complete=False))  # finalizers of the SDK close responses too
        # These functions refer to the response. A weak reference would be dead when a garbage collection closes a
        # dropped stream, and the connection would never be released. So the reference cycle is broken here.
        vars(response).pop("close", None)
        vars(response).pop("aclose", None)

    def close() -> None:
        on_close()
        kind.close(response)

    async def aclose() -> None:
        on_close()
        await kind.aclose(response)

    if hasattr(kind, "close"):
        response.close = close
    if hasattr(kind, "aclose"):
        response.aclose = aclose


def watch_events(stream: Any, listener: StreamListener) -> None:
    """Tap an SDK's stream object (`Stream`, `AsyncStream`). It keeps its type and all its methods."""
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
    """Reads the events or the body of a raw response from the bytes that the application reads."""

    def __init__(self, listener: StreamListener, content_type: str) -> None:
        self._listener = listener
        self._sse = "event-stream" in content_type
        self._json = "json" in content_type and not self._sse
        self._rest = b""
        self._body: list[bytes] = []
        self._size = 0
        self.reading = False
        """True while bytes are being read. A close at that time is the regular end of the response."""

    def feed(self, data: bytes) -> None:
        """Process decoded bytes, split at any position.

        Raises:
            BudgetExceeded: The application must not get the bytes.
        """
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
        """Return the parsed body after it was read; None if it is not JSON or too large."""
        return parsed(b"".join(self._body)) if self._body and self._size <= _MAX_BODY else None

    @property
    def streamed(self) -> bool:
        """True if the response is a stream of events."""
        return self._sse


def watch_bytes(response: Any, listener: StreamListener) -> RawReader:
    """Tap an HTTP response that the application reads itself (`with_streaming_response`, raw streams)."""
    content_type = str(response.headers.get("content-type", ""))
    reader = RawReader(listener, content_type)
    decoding = False
    reference = weakref.ref(response)
    kind: Any = type(response)
    encoded = str(response.headers.get("content-encoding", "identity")).lower() not in {"", "identity"}

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        nonlocal decoding
        decoding = True
        return _tap_bytes(kind.iter_bytes(_alive(reference), chunk_size), reader, listener, reference)

    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        raw: Iterator[bytes] = kind.iter_raw(_alive(reference), chunk_size)
        return raw if decoding or encoded else _tap_bytes(raw, reader, listener, reference)

    def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        nonlocal decoding
        decoding = True
        return _tap_bytes_async(kind.aiter_bytes(_alive(reference), chunk_size), reader, listener, reference)

    def aiter_raw(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        raw: AsyncIterator[bytes] = kind.aiter_raw(_alive(reference), chunk_size)
        return raw if decoding or encoded else _tap_bytes_async(raw, reader, listener, reference)

    response.iter_bytes, response.iter_raw = iter_bytes, iter_raw
    response.aiter_bytes, response.aiter_raw = aiter_bytes, aiter_raw
    watch_close(response, listener, lambda: reader.reading)
    return reader


def _alive(reference: weakref.ref[Any]) -> Any:
    return reference()


def _tap_bytes(
    chunks: Iterator[bytes], reader: RawReader, listener: StreamListener, response: weakref.ref[Any]
) -> Iterator[bytes]:
    with _StreamEnd(listener):
        while True:
            reader.reading = True
            try:
                chunk = next(chunks, None)
            finally:
                reader.reading = False
            if chunk is None:
                break
            try:
                reader.feed(chunk)
            except BudgetExceeded as error:
                reader.reading = True
                _cut_off(chunks, error, _alive(response).close)
                raise
            yield chunk


async def _tap_bytes_async(
    chunks: AsyncIterator[bytes], reader: RawReader, listener: StreamListener, response: weakref.ref[Any]
) -> AsyncIterator[bytes]:
    with _StreamEnd(listener):
        while True:
            reader.reading = True
            try:
                chunk = await anext(chunks, None)
            finally:
                reader.reading = False
            if chunk is None:
                break
            try:
                reader.feed(chunk)
            except BudgetExceeded as error:
                reader.reading = True
                await _cut_off_async(chunks, error, _alive(response).aclose)
                raise
            yield chunk
