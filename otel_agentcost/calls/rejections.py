"""Tell the exceptions of SDKs for a request that the provider rejected, which costs nothing, from all others."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire.fields import get

__all__ = ["is_rejection"]

_NOT_SENT: Final = frozenset({"ParamValidationError", "NoCredentialsError", "PartialCredentialsError", "NoRegionError"})
"""Exceptions of botocore before it sends a request (`botocore/exceptions.py`)."""
_REJECTED: Final = frozenset(
    {"INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    | {"FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"}
)
"""The statuses of gRPC with which a server rejects a request (https://grpc.io/docs/guides/status-codes/)."""


def is_rejection(error: BaseException) -> bool:
    """Return True if the provider rejected the request, or if the SDK did not send it.

    Args:
        error: The exception of the call.
    """
    # In this order: aiohttp has deprecated its `code`, and warns of each look at it.
    if getattr(error, "status_code", None) is not None or getattr(error, "status", None) is not None:
        return True
    response = getattr(error, "response", None)  # httpx and requests, and what is derived from their exceptions
    if getattr(response, "status_code", None) is not None:
        return True
    code = getattr(error, "code", None)
    if callable(code):  # gRPC
        return _status(code) in _REJECTED
    if code is not None:
        return True
    metadata = get(response, "ResponseMetadata")  # botocore
    return get(metadata, "HTTPStatusCode") is not None or type(error).__name__ in _NOT_SENT


def _status(code: Any) -> str:
    try:
        return str(code().name)
    except Exception as error:  # no status of gRPC
        reraise_foreign(error)
        return ""
