"""The events in the bytes of a streamed response: server-sent events, JSON lines, and the event stream of AWS.

A splitter keeps the bytes of an event that has not arrived completely. It never raises on what it reads: an event that
is no JSON is None, which every reader ignores.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final, Protocol

from otel_agentcost.wire.fields import entries, parsed

__all__ = ["Splitter", "is_json", "splitter"]


class Splitter(Protocol):
    """Splits the bytes of a response into its events."""

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the events that are complete with `data`, parsed."""
        ...

    def rest(self) -> Iterator[Any]:
        """Yield the event that the end of the response has completed, if there is one."""
        ...


def splitter(content_type: str) -> Splitter | None:
    """Return a splitter for a response with this `Content-Type`; None if the response is no stream of events."""
    kind = content_type.partition(";")[0].strip().lower()
    if "event-stream" in kind:
        return _Lines(b"data:")
    if kind in _JSON_LINES:
        return _Lines(b"")
    return _Frames() if kind == "application/vnd.amazon.eventstream" else None


def is_json(content_type: str) -> bool:
    """Return True if a whole response is JSON. One that does not say what it is, as of a test double, may be."""
    return "json" in content_type or not content_type


_JSON_LINES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
    | {"application/stream+json", "application/json-seq"}
)


_LONGEST: Final = 24 * 1024 * 1024
"""Bytes of the longest line, or frame, that is kept. A longer one is no event."""


class _Lines:
    """Splits at line ends. Only lines that begin with `start` are events."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._pieces: list[bytes] = []
        """The pieces of the line that has not ended."""
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        if b"\n" not in data:  # joined once, when the line ends: a file without lines has many pieces
            self._size += len(data)
            if self._size <= _LONGEST:
                self._pieces.append(data)
            return
        *lines, rest = b"".join((*self._pieces, data)).split(b"\n")
        if self._size > _LONGEST:  # a part of the first one was not kept
            del lines[0]
        self._pieces, self._size = [rest], len(rest)
        start = self._start
        for line in lines:
            if line.startswith(start):
                payload = line[len(start) :].strip()
                if payload and payload != b"[DONE]":
                    yield parsed(payload)

    def rest(self) -> Iterator[Any]:
        return self.feed(b"\n") if self._size else iter(())


_STRING: Final = 7
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the values of headers by type; those of types 6 and 7 are preceded by their size."""


class _Frames:
    """Splits the frames of AWS (https://smithy.io/2.0/aws/amazon-eventstream.html): `{"messageStop": {...}}`."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Any]:
        data = self._rest + data
        at = 0
        while len(data) - at >= 12:
            size, headers = struct.unpack_from(">II", data, at)
            if not 16 + headers <= size <= _LONGEST:  # no such frame: nothing after it can be found
                at = len(data)
            elif len(data) - at < size:
                break
            else:
                yield _event(data[at + 12 : at + 12 + headers], data[at + 12 + headers : at + size - 4])
                at += size
        self._rest = data[at:]

    def rest(self) -> Iterator[Any]:
        return iter(())


def _event(headers: bytes, payload: bytes) -> Any:
    """Return a frame as botocore does: an object whose only field is named after the type of the event."""
    try:
        named = _headers(headers)
        kind = named.get(":event-type") or named.get(":exception-type")
        content: dict[str, Any] = entries(parsed(payload))
        if kind == "chunk" and isinstance(content.get("bytes"), str):
            content = {**content, "bytes": b64decode(content["bytes"])}
    except (ValueError, IndexError, struct.error):  # not what a frame is
        return None
    return {kind: content} if kind else None


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name, kind = data[at + 1 : name_end].decode("utf-8", "replace"), data[name_end]
        at = name_end + 1
        size = _SIZES.get(kind)
        if size is None:
            (size,) = struct.unpack_from(">H", data, at)
            at += 2
        if kind == _STRING:
            found[name] = data[at : at + size].decode("utf-8", "replace")
        at += size
    return found
