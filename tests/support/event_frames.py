"""Frames of Amazon's event stream, as bytes: what Bedrock sends for ConverseStream and InvokeModelWithResponseStream.

A frame is a prelude (its length, and that of the headers), a checksum, the headers, the payload, and a checksum of all:
https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from typing import Any
from zlib import crc32

from tests.support.model_server import Reply

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def frame(kind: str, payload: Any, *, exception: bool = False) -> bytes:
    """One frame with a JSON payload."""
    name = ":exception-type" if exception else ":event-type"
    message = "exception" if exception else "event"
    headers = b"".join(
        _header(key, value)
        for key, value in ((name, kind), (":content-type", "application/json"), (":message-type", message))
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack("!I", crc32(prelude)) + headers + body
    return start + struct.pack("!I", crc32(start))


def _header(name: str, value: str) -> bytes:
    return bytes((len(name),)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()


def converse_reply(events: Iterable[tuple[str, Any]], **more: Any) -> Reply:
    """A stream of the Converse API: events as kind and payload."""
    chunks: list[bytes | float] = [frame(kind, payload) for kind, payload in events]
    return Reply(content_type=CONTENT_TYPE, chunks=chunks, **more)


def invoke_reply(events: Iterable[Any], **more: Any) -> Reply:
    """A stream of InvokeModel: the events of a model, each in a chunk."""
    encoded = (base64.b64encode(json.dumps(event).encode()).decode() for event in events)
    chunks: list[bytes | float] = [frame("chunk", {"bytes": each}) for each in encoded]
    return Reply(content_type=CONTENT_TYPE, chunks=chunks, **more)
