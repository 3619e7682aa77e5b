"""Responses of aiohttp: their bytes are read from the stream that the application reads, `response.content`.

aiohttp has decompressed them, unless the session must not. The stream keeps its type.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

from otel_agentcost.calls.streams import RawReader, StreamListener
from otel_agentcost.diagnostics import apart, complete
from otel_agentcost.errors import BudgetExceeded

_OWN = frozenset({"_inner", "_tap", "__class__", "set_exception", "read_nowait"})
_READS = frozenset({"read", "readany", "readline", "readuntil", "readexactly", "readchunk"})
_ITERATORS = frozenset({"iter_any", "iter_chunked", "iter_chunks", "__aiter__"})
"""Methods of the stream that call those of `_READS`."""


def tap(response: Any, compressed: bool | None, listener: StreamListener, content_type: str | None = None) -> RawReader:  # noqa: FBT001 (bound in advance)
    """Read the bytes of `response` while the application reads them.

    Args:
        response: The response.
        compressed: True if the session does not decompress; None if that is not known: the bytes tell.
        listener: The receiver of the events.
        content_type: What the bytes are; None: what the header says.
    """
    decode = decoder_of(response, compressed)
    kind = str(response.headers.get("content-type") or "") if content_type is None else content_type
    reader = RawReader(listener, kind, decode)
    replace_stream(response, reader, listener)
    return reader


def replace_stream(response: Any, reader: Any, listener: Any) -> None:
    """Let `reader.feed` get the bytes that are read of `response`, and `listener.end` their end."""
    response.content = _tapped_class()(response.content, _Tap(response, reader, listener))


def decoder_of(response: Any, compressed: bool | None) -> Callable[[bytes], bytes] | None:  # noqa: FBT001 (as `tap`)
    """Return a function that decompresses the bytes that are read; None if they are not compressed.

    Args:
        response: The response.
        compressed: True if the session does not decompress; None if that is not known: the bytes tell.
    """
    decode = _decoder(response) if compressed is not False else None
    return _Guess(decode) if decode is not None and compressed is None else decode


def _decoder(response: Any) -> Callable[[bytes], bytes] | None:
    encoding = str(response.headers.get("content-encoding") or "").lower()
    if encoding not in ("gzip", "deflate", "br", "zstd"):
        return None
    library = import_module("aiohttp.compression_utils")
    if encoding in ("gzip", "deflate"):
        decompressor: Any = library.ZLibDecompressor(encoding=encoding)
    else:
        decompressor = (library.BrotliDecompressor if encoding == "br" else library.ZSTDDecompressor)()
    decode: Callable[[bytes], bytes] = decompressor.decompress_sync
    return decode


_COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x28\xb5\x2f\xfd")
"""How gzip, zlib and zstd begin, and no text does. A short response has left its session when it is looked at."""


class _Guess:
    """Decompresses bytes that begin like compressed ones, and leaves others as they are."""

    def __init__(self, decode: Callable[[bytes], bytes]) -> None:
        self._decode = decode
        self._compressed: bool | None = None

    def __call__(self, data: bytes) -> bytes:
        if self._compressed is None:
            self._compressed = data.startswith(_COMPRESSED)
        return self._decode(data) if self._compressed else data


class _Tap:
    """Passes what is read from one stream to a reader, and its end to the listener."""

    def __init__(self, response: Any, reader: RawReader, listener: StreamListener) -> None:
        self._response = weakref.ref(response)  # else a dropped response would wait for a garbage collection
        self._reader = reader
        self._listener = listener

    async def take(self, inner: Any, read: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Read from the stream `inner`. A read that is cancelled, or finds no line end, leaves the stream as it is."""
        try:
            data = await read(*args, **kwargs)
        except BaseException:  # also a cancellation, after which the stream may be read on
            self._failed(inner)
            raise
        return self.taken(inner, data)

    def taken(self, inner: Any, data: Any) -> Any:
        """Return `data`, which was read from `inner`."""
        chunk = data[0] if isinstance(data, tuple) else data
        if chunk:
            try:
                self._reader.feed(chunk)
            except BaseException as error:  # however the reading fails, the call ends
                if isinstance(error, BudgetExceeded) and (response := self._response()) is not None:
                    self._reader.reading = True
                    response.close()
                self._listener.end(error, complete=False)
                raise
        if inner.at_eof():
            self._listener.end(complete=True)
        return data

    def _failed(self, inner: Any) -> None:
        error = inner.exception()
        if error is not None:
            self._listener.end(error, complete=False)

    def closed(self) -> None:
        """End the stream: the application has closed or released the response."""
        if self._reader.reading:
            return
        end = partial(self._listener.end, complete=False)
        try:
            apart(end)  # finalizers close responses too
        except BaseException:  # however the closing fails, the call ends
            complete(end)
            raise


@cache
def _tapped_class() -> type:
    """Return the class that stands for a stream: an `aiohttp.StreamReader` whose every attribute is the stream's."""
    base: Any = import_module("aiohttp.streams").StreamReader

    class Tapped(base):  # type: ignore[misc]  # the class is known when aiohttp is
        def __init__(self, inner: Any, tap: _Tap) -> None:
            object.__setattr__(self, "_inner", inner)
            object.__setattr__(self, "_tap", tap)

        def __getattribute__(self, name: str) -> Any:
            if name in _OWN or name in _ITERATORS:
                return object.__getattribute__(self, name)
            inner = object.__getattribute__(self, "_inner")
            value = getattr(inner, name)
            return partial(object.__getattribute__(self, "_tap").take, inner, value) if name in _READS else value

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(self._inner, name, value)

        def __repr__(self) -> str:
            return repr(self._inner)

        def read_nowait(self, n: int = -1) -> Any:
            return self._tap.taken(self._inner, self._inner.read_nowait(n))

        def set_exception(self, *args: Any, **kwargs: Any) -> None:
            self._tap.closed()
            self._inner.set_exception(*args, **kwargs)

    return Tapped
