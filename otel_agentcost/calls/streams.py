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
from copy import copy
from functools import cache, partial
from importlib import import_module
from typing import Any, Protocol

from otel_agentcost.calls import finalize
from otel_agentcost.calls.framing import is_json, splitter
from otel_agentcost.diagnostics import apart, complete, report, reraise_foreign
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


class Relay:
    """A listener that reads the events in another way, and passes everything else to the listener of the call."""

    def __init__(self, listener: StreamListener, feed: Feed) -> None:
        """Create the object.

        Args:
            listener: The receiver of the stream's end.
            feed: Processes one event.
        """
        self._listener = listener
        self.feed = feed

    def first_chunk(self) -> None:
        """See `StreamListener`."""
        self._listener.first_chunk()

    def unreadable(self, bug: Exception) -> Feed:
        """See `StreamListener`."""
        return self._listener.unreadable(bug)

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """See `StreamListener`."""
        self._listener.end(error, complete=complete)

    def dropped(self) -> None:
        """See `StreamListener`."""
        self._listener.dropped()


def _stopped(listener: StreamListener, error: BaseException) -> None:
    """Inform the listener that `error` has ended the stream."""
    if isinstance(error, GeneratorExit):
        listener.dropped()
    else:
        listener.end(error, complete=False)


def tap(events: Iterator[Any], listener: StreamListener) -> Iterator[Any]:
    """Yield the events, each after `listener.feed` has processed it.

    Raises:
        BudgetExceeded: The next event exceeds the budget of the call. The stream is closed.
    """
    feed = listener.feed
    first = True
    try:
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
    except BaseException as error:  # however the reading fails, the call ends
        _stopped(listener, error)
        raise
    listener.end(complete=True)


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
    try:
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
    except BaseException as error:  # however the reading fails, the call ends
        _stopped(listener, error)
        raise
    listener.end(complete=True)


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
        try:
            if end is not None:
                end()
        except Exception as failure:  # noqa: PERF203 (three at most, where a stream is cut off)
            reraise_foreign(failure)
    error.__traceback__ = traceback  # the new traceback refers to this frame, which refers to `error`: a cycle


async def _cut_off_async(
    events: Any, error: BudgetExceeded, close: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Do the same as `_cut_off`, for an asynchronous stream."""
    traceback = error.__traceback__
    throw = partial(events.athrow, error) if hasattr(events, "athrow") else None
    for end in (close, throw, getattr(events, "aclose", None)):
        try:
            if end is not None:
                await end()
        except Exception as failure:  # noqa: PERF203 (three at most, where a stream is cut off)
            reraise_foreign(failure)
    error.__traceback__ = traceback


# --- the HTTP response: its byte stream is replaced, which is no part of a copied or pickled response ---


def _itself(stream: Any) -> Any:
    return stream


_OWN = frozenset({"_stream", "_listener", "_running", "_read"})
"""The attributes of `_Tapped`."""


class _Tapped:
    """The byte stream of an HTTP response, which informs a listener when the application closes the response.

    The response keeps its methods, so it can be copied, pickled and outlived by them as without this package.
    """

    def __init__(
        self, stream: Any, listener: StreamListener, running: Callable[[], bool], read: Callable[[Any, bool], Any]
    ) -> None:
        self._stream = stream
        self._listener = weakref.ref(listener)  # the response must not keep a dropped stream alive: it settles at once
        self._running = running
        self._read = read
        # anthropic asks for its observer, or None, with every event, and `__getattr__` is slow. It never changes.
        self.stream_observer = getattr(stream, "stream_observer", None)

    def __iter__(self) -> Iterator[bytes]:
        chunks: Iterator[bytes] = self._read(iter(self._stream), False)
        return chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = self._read(aiter(self._stream), True)
        return chunks

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # of an object that is being copied
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __copy__(self) -> Any:
        return copy(self._stream)

    def __reduce__(self) -> Any:
        return _itself, (self._stream,)  # a copy is the library's own stream, as without this package

    def _end(self) -> None:
        # A close from the running stream is ignored: the tap reports the end with its cause.
        if (listener := self._listener()) is not None and not self._running():
            apart(partial(listener.end, complete=False))  # finalizers of the SDK close responses too

    def close(self) -> None:
        try:
            self._end()
        except BaseException:  # however the reading fails, the call ends
            complete(self._end)
            raise
        finally:
            self._stream.close()

    async def aclose(self) -> None:
        try:
            self._end()
        except BaseException:  # however the reading fails, the call ends
            complete(self._end)
            raise
        finally:
            await self._stream.aclose()


@cache
def _tapped_class(kind: type) -> type[_Tapped] | None:
    """Return the class that stands for byte streams of `kind`: the HTTP library checks for its own base classes."""
    bases = tuple(base for base in kind.__mro__ if base.__name__ in {"SyncByteStream", "AsyncByteStream"})
    return type("_Tapped", (_Tapped, *bases), {}) if bases else None


def _unread(chunks: Any, _asynchronous: bool) -> Any:  # noqa: FBT001 (a callback)
    return chunks


def watch_close(
    response: Any, listener: StreamListener, running: Callable[[], bool], read: Callable[[Any, bool], Any] = _unread
) -> None:
    """End the stream of `listener` when the application closes the HTTP response.

    Args:
        response: The HTTP response.
        listener: The receiver of the events.
        running: Returns True while the stream itself runs. A close from there is ignored, because the tap reports the
            end of the stream with its cause.
        read: Returns the iterator that the application gets for the iterator of raw bytes. Its second argument is True
            if they are asynchronous.
    """
    stream: Any = getattr(response, "stream", None)
    kind: Any = type(stream)
    tapped = _tapped_class(kind)
    if tapped is not None:
        response.stream = tapped(stream, listener, running, read)


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

    def __init__(
        self, listener: StreamListener, content_type: str, decode: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Begin to read.

        Args:
            listener: The receiver of the events.
            content_type: The header of the response.
            decode: Decompresses the next bytes; None if the bytes are not compressed.
        """
        self._listener = listener
        self._splitter = splitter(content_type)
        self._json = self._splitter is None and is_json(content_type)
        self._decode = decode
        self._body: list[bytes] = []
        self._size = 0
        self.reading = False
        """True while bytes are being read. A close at that time is the regular end of the response."""

    def feed(self, data: bytes) -> None:
        """Process bytes, split at any position.

        Raises:
            BudgetExceeded: The application must not get the bytes.
        """
        try:
            self._listener.first_chunk()
            if self._decode is not None:
                data = self._decode(data)
            if self._splitter is not None:
                for event in self._splitter.feed(data):
                    self._listener.feed(event)
            elif self._json:
                self._size += len(data)
                if self._size <= _MAX_BODY:
                    self._body.append(data)
        except BudgetExceeded:
            raise
        except Exception as error:
            report("reading a raw response", error)

    def ended(self) -> None:
        """Process what has no end of its own: the response has ended, and the application has all of it."""
        if self._splitter is not None:
            with suppress(BudgetExceeded):
                for event in self._splitter.rest():
                    self._listener.feed(event)

    def body(self) -> Any:
        """Return the parsed body after it was read; None if it is not JSON or too large."""
        content = self.content()
        return parsed(content) if content is not None else None

    def content(self) -> bytes | None:
        """Return the body after it was read; None if it is not JSON or too large."""
        return b"".join(self._body) if self._body and self._size <= _MAX_BODY else None

    @property
    def streamed(self) -> bool:
        """True if the response is a stream of events."""
        return self._splitter is not None


def watch_bytes(response: Any, listener: StreamListener, content_type: str | None = None) -> RawReader:
    """Tap an HTTP response that the application reads itself (`with_streaming_response`, raw streams).

    Args:
        response: The response.
        listener: The receiver of its events.
        content_type: What its bytes are; None: what its header says.
    """
    if content_type is None:
        content_type = str(response.headers.get("content-type", ""))
    reader = RawReader(listener, content_type, decoder_of(response))
    reference = weakref.ref(response)

    def read(chunks: Any, asynchronous: bool) -> Any:  # noqa: FBT001 (a callback)
        tap = _tap_bytes_async if asynchronous else _tap_bytes
        return tap(chunks, reader, listener, reference)

    watch_close(response, listener, lambda: reader.reading, read)
    return reader


def decoder_of(response: Any) -> Callable[[bytes], bytes] | None:
    """Return a function that decompresses the response as its HTTP library does; None if it is not compressed."""
    encodings = [name.strip().lower() for name in str(response.headers.get("content-encoding", "")).split(",")]
    if not any(encodings) or encodings == ["identity"]:
        return None
    base = next(kind for kind in type(response).__mro__ if kind.__name__ == "Response")  # of a subclass, too
    library = import_module(f"{base.__module__.partition('.')[0]}._decoders")
    known: dict[str, Any] = library.SUPPORTED_DECODERS
    decoders = [known[name]() for name in reversed(encodings) if name in known]

    def decode(data: bytes) -> bytes:
        for decoder in decoders:
            decoded: bytes | Iterator[bytes] = decoder.decode(data)
            data = decoded if isinstance(decoded, bytes) else b"".join(decoded)  # in httpx2, in pieces
        return data

    return decode


def _tap_bytes(
    chunks: Iterator[bytes], reader: RawReader, listener: StreamListener, response: weakref.ref[Any]
) -> Iterator[bytes]:
    try:
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
                _cut_off(chunks, error, getattr(response(), "close", None))
                raise
            yield chunk
    except BaseException as error:  # however the reading fails, the call ends
        _stopped(listener, error)
        raise
    listener.end(complete=True)


async def _tap_bytes_async(
    chunks: AsyncIterator[bytes], reader: RawReader, listener: StreamListener, response: weakref.ref[Any]
) -> AsyncIterator[bytes]:
    try:
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
                await _cut_off_async(chunks, error, getattr(response(), "aclose", None))
                raise
            yield chunk
    except BaseException as error:  # however the reading fails, the call ends
        _stopped(listener, error)
        raise
    listener.end(complete=True)
