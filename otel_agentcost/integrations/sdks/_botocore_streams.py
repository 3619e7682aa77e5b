"""Watch the responses of botocore and aiobotocore that the application reads later. Their objects stay the same.

The response of InvokeModel has a body of bytes, and that of a streamed operation has frames of Amazon's event stream.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
import sys
import weakref
from base64 import b64decode
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from otel_agentcost.calls import finalize, streams
from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.wire.fields import get, parsed

__all__ = ["watch_body", "watch_events"]

finalize.FINALIZERS.add(__name__)


# --- frames of an event stream ----------------------------------------------------------------------------------------


def _decoded(call: ActiveCall) -> streams.Relay:
    """Return what passes frames to `call` as the events that its wire format reads."""

    def feed(frame: Any) -> None:
        event = event_of(frame)
        if event is not None:
            call.feed(event)
        if (kind := frame.headers.get(":exception-type")) is not None:  # botocore raises it to the application
            call.end(_failure(kind), complete=False)

    return streams.Relay(call, feed)


def event_of(frame: Any) -> Any:
    """Return the event in a frame: that of a model in a `chunk`, or an object with the kind of the event as its field.

    Args:
        frame: An `EventStreamMessage` of botocore: headers, and JSON as its payload.
    """
    body = parsed(frame.payload)
    kind = frame.headers.get(":event-type") or frame.headers.get(":exception-type")
    if kind == "chunk":
        inner = get(body, "bytes")
        return parsed(b64decode(inner)) if isinstance(inner, str) else None
    return {kind: body} if kind and kind != "initial-response" else None


def watch_events(stream: Any, call: ActiveCall) -> None:
    """Let `call` see the frames that the application reads from an `EventStream`, and its end."""
    raw, listener = stream._raw_stream, _decoded(call)
    frames = _own_frames(stream, raw)
    if hasattr(frames, "__anext__"):
        tapped: Any = streams.tap_async(frames, listener, _closer(raw))
        running = _running(tapped, "ag_running")
    else:
        tapped = streams.tap(_closing(frames, raw), listener)
        running = _running(tapped, "gi_running")
    stream._event_generator = tapped
    stream._raw_stream = _Closed(raw, weakref.ref(call), running)


def _own_frames(stream: Any, raw: Any) -> Any:
    """Return the frames of a stream, without a reference to the stream.

    The generator of botocore refers to its stream: a dropped stream would not be settled before a garbage collection.
    """
    frames = stream._event_generator
    if inspect.isgenerator(frames) and inspect.getgeneratorstate(frames) != inspect.GEN_CREATED:
        return frames
    return type(stream)._create_raw_event_generator(SimpleNamespace(_raw_stream=raw))


def _failure(kind: str) -> Exception:
    """Return the exception that botocore raises for an exception in a stream."""
    failure: Exception = sys.modules["botocore.exceptions"].EventStreamError({"Error": {"Code": kind}}, "stream")
    return failure


def _running(tapped: Any, name: str) -> Callable[[], bool]:
    reference = weakref.ref(tapped)
    return lambda: bool(getattr(reference(), name, False))


def _closing(frames: Any, raw: Any) -> Iterator[Any]:
    """Yield the frames. If a budget cuts the stream off, its connection is closed."""
    try:
        yield from frames
    except BudgetExceeded:
        raw.close()
        raise


def _closer(raw: Any) -> Callable[[], Any]:
    async def close() -> None:
        raw.close()

    return close


class _Closed:
    """The HTTP response of a stream. It ends the call when the application closes it."""

    def __init__(self, raw: Any, call: weakref.ref[ActiveCall], running: Callable[[], bool]) -> None:
        self._raw = raw
        self._call = call
        self._running = running

    def close(self) -> Any:
        if (call := self._call()) is not None and not self._running():
            call.close()
        return self._raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


# --- the body of InvokeModel ------------------------------------------------------------------------------------------


def watch_body(body: Any, call: ActiveCall) -> None:
    """Let `call` see the bytes that the application reads from a `StreamingBody`."""
    call.raw = streams.RawReader(weakref.proxy(call), "application/json")  # no cycle: a dropped body settles at once
    if hasattr(type(body), "__aiter__"):
        _watch_async(body, call, call.raw)
    else:
        body._raw_stream = _Bytes(body._raw_stream, call, call.raw)


class _Bytes:
    """The HTTP response of a body, whose bytes it passes to a reader."""

    def __init__(self, raw: Any, call: ActiveCall, reader: streams.RawReader) -> None:
        self._raw = raw
        self._call = call
        self._reader = reader

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        return self._passed(lambda: self._raw.read(amt, *args, **kwargs), whole=amt is None or amt < 0, asked=amt != 0)

    def readlines(self, *args: Any) -> Any:
        return self._passed(lambda: self._raw.readlines(*args), whole=True, joined=b"".join)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        read: int = self._passed(lambda: self._raw.readinto(buffer), joined=lambda number: bytes(view[:number]))
        return read

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return streams.tap(self._raw.stream(*args, **kwargs), streams.Relay(self._call, self._reader.feed))

    def __iter__(self) -> Iterator[Any]:
        return streams.tap(iter(self._raw), streams.Relay(self._call, self._reader.feed))

    def __next__(self) -> Any:
        return self._passed(lambda: next(self._raw))

    def close(self) -> Any:
        self._call.close()
        return self._raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def _passed(
        self,
        read: Callable[[], Any],
        *,
        whole: bool = False,
        asked: bool = True,
        joined: Callable[[Any], bytes] = bytes,
    ) -> Any:
        """Return what `read` returns, after the reader has seen it."""
        try:
            result = read()
        except BaseException as error:  # however the reading fails, the call ends
            self._call.end(error, complete=False)
            raise
        data = joined(result)
        self._reader.feed(data)
        if whole or (asked and not data):
            self._call.end(complete=True)
        return result


def _watch_async(body: Any, call: ActiveCall, reader: streams.RawReader) -> None:
    """Replace the methods that read an asynchronous body. They refer to it weakly, so that a dropped one is freed."""
    reference, kind = weakref.ref(body), type(body)

    async def read(amt: int | None = None) -> Any:
        try:
            data = await kind.read(reference(), amt)
        except BaseException as error:  # however the reading fails, the call ends
            call.end(error, complete=False)
            raise
        reader.feed(data)
        if amt is None or amt < 0 or (amt and not data):
            call.end(complete=True)
        return data

    def close() -> Any:
        call.close()
        return kind.close(reference())

    async def aclose() -> Any:
        call.close()
        return await kind.aclose(reference())

    body.read, body.close = read, close
    if hasattr(kind, "aclose"):
        body.aclose = aclose
