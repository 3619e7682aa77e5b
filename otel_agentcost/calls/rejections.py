"""Tell the exceptions of SDKs for a request that the provider rejected, which costs nothing, from all others."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire.fields import get

__all__ = ["is_rejection", "refusal_of"]

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


_FOR_OTHER_REASONS: Final = frozenset({401, 402, 407, 408, 409, 425, 429})
"""Statuses of 400 to 499 that say nothing about the request itself."""
_NOT_WRITTEN: Final = frozenset({"ParamValidationError", "PydanticSerializationError"})
"""Exceptions of SDKs that cannot write a request."""


def refusal_of(error: BaseException | None) -> str | None:
    """Return the words with which a request was refused because of what it contains, after the status.

    Args:
        error: The exception of the call.

    Returns:
        A text such as `400 messages: too long`; None if the call did not fail, or for another reason.
    """
    if error is None or not isinstance(error, Exception):
        return None
    try:
        status = 400 if type(error).__name__ in _NOT_WRITTEN or isinstance(error, TypeError) else _http_status(error)
        words = f"{status} {error!s:.2000}"
    except Exception as failure:  # an exception of the application's, whose attributes raise
        reraise_foreign(failure)
        return None
    refused = status is not None and 400 <= status < 500 and status not in _FOR_OTHER_REASONS
    return words if refused else None


def _http_status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for value in (
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(response, "status_code", None),
        get(get(response, "ResponseMetadata"), "HTTPStatusCode"),
    ):
        if isinstance(value, int):
            return value
    code = getattr(error, "code", None)
    if callable(code):  # gRPC
        return 400 if _status(code) in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE") else None
    return code if isinstance(code, int) else None
