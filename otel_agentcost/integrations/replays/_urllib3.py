"""Responses of urllib3, which requests and botocore use: the file beneath a response is recorded, or replayed."""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import Any

from otel_agentcost.calls.answer_cache import Recording
from otel_agentcost.core.recorded import Recorded
from otel_agentcost.integrations.http._urllib3 import body_of, decoder_of, replace_file
from otel_agentcost.integrations.replays._base import Taken


def head_of(response: Any) -> Recorded:
    """Return a response of urllib3 without its body."""
    version = "HTTP/1.0" if response.version == 10 else "HTTP/1.1"
    return Recorded(response.status, tuple(response.headers.items()), (), version, response.reason or "")


def response_of(reply: Recorded, headers: dict[str, str] | None = None) -> Any:
    """Return a response of urllib3 whose body is not read yet."""
    library: Any = import_module("urllib3")
    sized = ("transfer-encoding", "content-length")  # the body lies in a file
    kept = {name: value for name, value in reply.headers if name.lower() not in sized} if headers is None else headers
    return library.HTTPResponse(
        body=BytesIO(b"".join(reply.chunks)),
        headers=kept,
        status=reply.status,
        version=10 if reply.version == "HTTP/1.0" else 11,
        reason=reply.reason,
        preload_content=False,
    )


def record(response: Any, recording: Recording) -> None:
    """Record the body of a response while it is read. One of a test double without a file is not recorded."""
    body = body_of(response)
    if body is not None:
        recording.chunk(body)
        recording.ended()
        return
    if getattr(response, "_fp", None) is not None:
        taken = Taken(recording, decoder_of(response))
        replace_file(response, taken, taken)
