"""Responses of urllib3, which requests returns too: their bytes are read from the file beneath them.

The file is replaced, not a method of the response. Whatever way the application reads (`read`, `stream`, lines, chunks,
compressed or not), it gets what it would get, at the time that it would get it.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from otel_agentcost.calls.streams import RawReader, StreamListener
from otel_agentcost.diagnostics import apart, complete
from otel_agentcost.errors import BudgetExceeded


def body_of(response: Any) -> bytes | None:
    """Return the decoded body of a response that urllib3 has read completely; None if the application reads it."""
    body: Any = getattr(response, "_body", None)
    file = getattr(response, "_fp", None)
    if not body and file is not None and not response.closed:
        return None
    content: bytes = body.encode() if isinstance(body, str) else body or b""
    decode = None if response.decode_content else decoder_of(response)
    return content if decode is None else decode(content)


def tap(response: Any, listener: StreamListener, content_type: str | None = None) -> RawReader:
    """Read the bytes of `response` while the application reads them.

    Args:
        response: The response.
        listener: The receiver of the events.
        content_type: What the bytes are; None: what the header says.
    """
    kind = str(response.headers.get("content-type") or "") if content_type is None else content_type
    reader = RawReader(listener, kind, decoder_of(response))
    replace_file(response, reader, listener)
    return reader


def replace_file(response: Any, reader: Any, listener: Any) -> None:
    """Let `reader.feed` get the bytes of the file beneath `response`, and `listener.end` their end."""
    file = response._fp
    tapped = _Tapped(file, response, reader, listener)
    response._fp = tapped
    if getattr(response, "_original_response", None) is file:
        response._original_response = tapped


def decoder_of(response: Any) -> Callable[[bytes], bytes] | None:
    """Return a function that decompresses the response as urllib3 does; None if it is not compressed."""
    encoding = str(response.headers.get("content-encoding") or "").lower()
    names = [name.strip() for name in encoding.split(",") if name.strip() not in ("", "identity")]
    if not names or not set(names) <= set(response.CONTENT_DECODERS):
        return None
    decoder: Any = import_module("urllib3.response")._get_decoder(encoding)
    decode: Callable[[bytes], bytes] = decoder.decompress
    return decode


class _Tapped:
    """The file beneath a response: `http.client`'s response, or any file of a test."""

    def __init__(self, file: Any, response: Any, reader: RawReader, listener: StreamListener) -> None:
        self._file = file
        self._response = weakref.ref(response)  # else a dropped response would wait for a garbage collection
        self._reader = reader
        self._listener = listener
        self._chunk_ends = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, *args: Any) -> Any:
        """Read bytes of the body."""
        return self._take(self._file.read, args, whole=not args or args[0] is None)

    def read1(self, *args: Any) -> Any:
        """Read bytes of the body with one system call at most."""
        return self._take(self._file.read1, args)

    def _safe_read(self, amount: int) -> Any:
        """Read bytes of a chunk, or the line end behind it, which is no part of the body."""
        if self._chunk_ends:
            self._chunk_ends = False
            return self._file._safe_read(amount)
        self._chunk_ends = amount == getattr(self._response(), "chunk_left", None)
        return self._take(self._file._safe_read, (amount,))

    def _take(self, read: Callable[..., Any], args: tuple[Any, ...], *, whole: bool = False) -> Any:
        """Read and return bytes.

        Args:
            read: The method of the file.
            args: Its arguments: the number of bytes.
            whole: True if that reads all that is left.
        """
        try:
            data = read(*args)
            if data:
                self._reader.feed(data)
        except BaseException as error:  # however the reading fails, the call ends
            if isinstance(error, BudgetExceeded):
                self._file.close()
            self._listener.end(error, complete=False)
            raise
        if whole or self._is_closed() or not (data or 0 in args):
            self._over(len(data or b""))
        return data

    def _is_closed(self) -> bool:
        """Return True if the file has no more bytes. Its `isclosed` is not asked: that of a test double may act."""
        file = self._file
        return file.fp is None if hasattr(file, "fp") else bool(file.closed)

    def _over(self, size: int) -> None:
        """End the stream if the last `size` bytes complete the announced length. Else urllib3 raises, and closes."""
        left = getattr(self._response(), "length_remaining", None)
        if left is None or left <= size:
            self._listener.end(complete=True)

    def close(self) -> None:
        """Close the file: urllib3 does at the end, and the application at any time."""
        response = self._response()
        whole = self._is_closed() and not getattr(response, "length_remaining", None)
        end = partial(self._listener.end, complete=whole or getattr(response, "chunk_left", None) == 0)
        try:
            apart(end)  # finalizers close responses too
        except BaseException:  # however the closing fails, the call ends
            complete(end)
            raise
        finally:
            self._file.close()
