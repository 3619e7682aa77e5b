"""Identical requests: the key of a request, and the check of the request that is really sent.

The key is known before the SDK is called. It is made of the body that the SDK was given, without the fields that change
no answer. The check is made of the request that the HTTP client sends: its address, its headers and its body. An answer
is served only if both are those of the request that it answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

from otel_agentcost.core.recorded import Sent

DROPPED: Final = frozenset(
    {
        "cache_control",
        "diagnostics",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "stream",
        "user",
    }
)
"""Fields of a request that change no answer. Only those of the request itself are dropped: a field of this name in the
schema or in the arguments of a tool may change it."""

_SHOWN: Final = frozenset({"openai_responses"})
"""Formats whose answers repeat these fields: a replayed answer must not show those of another request."""

_MARKS: Final = ("cache_control", "prompt_cache_breakpoint")
"""Fields of messages and blocks that only mark what the provider's prompt cache keeps."""

_BLOCKS: Final = frozenset({"content", "messages", "system", "tools"})
"""Fields that hold messages and blocks. What else is nested (schemas, arguments) belongs to the application."""

_VOLATILE: Final = frozenset(
    {
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "b3",
        "baggage",
        "connection",
        "content-length",
        "date",
        "expect",
        "idempotency-key",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "uber-trace-id",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amzn-trace-id",
        "x-b3-flags",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-spanid",
        "x-b3-traceid",
        "x-client-request-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-datadog-origin",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-tags",
        "x-datadog-trace-id",
        "x-goog-api-client",
        "x-idempotency-key",
        "x-request-id",
        "x-stainless-arch",
        "x-stainless-async",
        "x-stainless-helper",
        "x-stainless-helper-method",
        "x-stainless-lang",
        "x-stainless-os",
        "x-stainless-package-version",
        "x-stainless-raw-response",
        "x-stainless-read-timeout",
        "x-stainless-retry-count",
        "x-stainless-runtime",
        "x-stainless-runtime-version",
        "x-stainless-stream-helper",
        "x-stainless-timeout",
    }
)
"""Headers that differ from request to request and change no answer. All others must be the same: they say who asks."""

_PASSING: Final = frozenset({"__cf_bm", "_cfuvid"})
"""Cookies that Cloudflare sets and renews to tell people from robots. They say nothing of who asks."""

_WHO: Final = frozenset(
    {
        "api-key",
        "authorization",
        "cookie",
        "openai-organization",
        "openai-project",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
    }
)
"""Headers that say who asks."""

_SIGNED: Final = re.compile(r"^AWS4-[^ ]+ Credential=([^/,]+)")


def canonical(body: Mapping[str, Any], format_name: str = "") -> str | None:
    """Return the text of a request's body that is the same for identical requests.

    Args:
        body: The body.
        format_name: The name of its wire format.

    Returns:
        JSON with sorted keys, without spaces. None if the body is not JSON.
    """
    dropped = _SHOWN_DROPPED if format_name in _SHOWN else DROPPED
    kept = {name: body[name] for name in body if name not in dropped and body[name] is not None}
    if kept.get("n") == 1:
        del kept["n"]
    try:
        text = _encode(kept)
        if any(mark in text for mark in _MARKS):
            text = _encode(_unmarked(kept))
    except (TypeError, ValueError, RecursionError):
        return None
    return text


_SHOWN_DROPPED: Final = frozenset({"stream", "cache_control", "diagnostics"})


def _jsonable(value: Any) -> Any:
    """Return an object of an SDK as the SDK writes it."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(type(value).__name__)
    return dump(mode="json", exclude_unset=True, by_alias=True)


_encode: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_jsonable
).encode


def _unmarked(value: Any) -> Any:
    """Return messages and blocks without marks for the provider's prompt cache."""
    if isinstance(value, list):
        return [_unmarked(item) for item in value]  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value).items()
    return {name: _unmarked(item) if name in _BLOCKS else item for name, item in fields if name not in _MARKS}


def key_of(scope: str, asked: Iterable[object], text: str) -> str:
    """Return the key of a request.

    Args:
        scope: Whose it is.
        asked: What is asked beside the body: the operation, the address, the model, whether it is streamed.
        text: The canonical body.
    """
    # JSON, because parts that are joined by a separator could contain it.
    head = json.dumps(["v2", scope, *map(str, asked)], ensure_ascii=False)
    return sha256(f"{head}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


def check_of(sent: Sent) -> str:
    """Return the digest of a request that is sent. Those of identical requests are equal."""
    parts = urlsplit(sent.url)
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    head = json.dumps([sent.method, parts.scheme, parts.netloc, parts.path, query, _headers(sent), sent.through])
    return sha256(head.encode() + b"\n" + _body(sent)).hexdigest()


def who_of(sent: Sent) -> str:
    """Return a digest of the headers that say who sends a request."""
    said = [(name, value) for name, value in _headers(sent) if name in _WHO]
    return sha256(json.dumps(said).encode()).hexdigest()


def counting(name: str) -> bool:
    """Return True if a header, in small letters, must be the same in identical requests."""
    return name not in _VOLATILE


def _headers(sent: Sent) -> list[tuple[str, str]]:
    said = [(low, _said(low, value)) for name, value in sent.headers if counting(low := name.lower())]
    return sorted((name, value) for name, value in said if value or name != "cookie")


def _said(name: str, value: str) -> str:
    """Return what a header says of who asks: not the signature, which differs from request to request."""
    if name == "cookie":
        cookies = (each.strip() for each in value.split(";"))
        return "; ".join(sorted(each for each in cookies if each.partition("=")[0] not in _PASSING))
    signed = _SIGNED.match(value) if name == "authorization" else None
    return signed.group(1) if signed else value


def _body(sent: Sent) -> bytes:
    content = sent.body or b""
    try:
        body: Any = json.loads(content)
    except ValueError:
        return content
    if not isinstance(body, dict):
        return content
    # No answer of any format may show a part of the address that is dropped here: see `_SHOWN`.
    name = "openai_responses" if urlsplit(sent.url).path.endswith("/responses") else ""
    text = canonical(cast("dict[str, Any]", body), name)
    return content if text is None else text.encode("utf-8", "surrogatepass")
