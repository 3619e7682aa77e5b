"""An HTTP response as it is recorded and replayed, and the request that it answers."""

from __future__ import annotations

from typing import NamedTuple


class Sent(NamedTuple):
    """A request as an HTTP client sends it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    """None if it can only be read once."""
    through: str = ""
    """The name of the transport that sends it (`telemetry.transports.name_of`)."""


class Recorded(NamedTuple):
    """A response as it came, decompressed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    """The body, in the pieces in which it came."""
    version: str = "HTTP/1.1"
    reason: str = ""


class NotReplayed(BaseException):
    """The request that is being sent is another one than the recorded answer is for: it must be sent.

    No `Exception`: SDKs retry and translate those. The pipeline catches it, applications never see it.
    """
