"""An answer as bytes: the response as it came, compressed, and the check of the request that it answers."""

from __future__ import annotations

import json
import zlib
from typing import Any, Final, NamedTuple

from otel_agentcost.core.recorded import Recorded

_MAGIC: Final = b"aca2"
"""The form of an entry. Another version of this package that writes another form has another one."""

_MOST: Final = 64 * 1024 * 1024
"""Bytes of one answer, at most: an entry that claims to be larger is corrupt."""


class Entry(NamedTuple):
    """A stored answer."""

    url: str
    check: str
    """The digest of the request that it answers (`keys.check_of`)."""
    reply: Recorded
    who: str = ""
    """The digest of who has asked (`keys.who_of`)."""


def packed(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    reply = entry.reply
    head = {
        "url": entry.url.partition("?")[0],
        "check": entry.check,
        "who": entry.who,
        "status": reply.status,
        "headers": reply.headers,
        "sizes": [len(chunk) for chunk in reply.chunks],
        "version": reply.version,
        "reason": reply.reason,
    }
    plain = json.dumps(head, separators=(",", ":")).encode() + b"\n" + b"".join(reply.chunks)
    return _MAGIC + zlib.compress(plain, 1)  # with a checksum


def unpacked(value: bytes) -> Entry | None:
    """Return the entry in `value`; None if it is corrupt, or of another version."""
    if not value.startswith(_MAGIC):
        return None
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(value[len(_MAGIC) :], _MOST)
        if not inflater.eof:
            return None
        start, _, body = plain.partition(b"\n")
        head: dict[str, Any] = json.loads(start)
        chunks: list[bytes] = []
        at = 0
        for size in head["sizes"]:
            chunks.append(body[at : at + size])
            at += size
        if at != len(body):
            return None
        headers = tuple((str(name), str(said)) for name, said in head["headers"])
        reply = Recorded(int(head["status"]), headers, tuple(chunks), str(head["version"]), str(head["reason"]))
        return Entry(str(head["url"]), str(head["check"]), reply, str(head["who"]))
    except (zlib.error, ValueError, KeyError, TypeError):
        return None
