"""The HTTP clients below an SDK's client: whether an answer reaches it without anything being sent, and who it is.

Only attributes that are there are read, no properties: nothing of the application runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, cast

from otel_agentcost.savings.responses.keys import counting
from otel_agentcost.telemetry.transports import name_of

_BELOW: Final = (
    "_api_client",
    "_async_httpx_client",
    "_client",
    "_client_wrapper",
    "_endpoint",
    "_httpx_client",
    "_raw_client",
    "async_client",
    "client",
    "http_session",
    "httpx_client",
    "sdk_configuration",
)
"""Attributes of SDKs that lead to their HTTP clients."""

_DEEPEST: Final = 5

_HTTPX: Final = (
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_transport_for_url",
    "send",
)
_CLIENTS: Final = (
    ("httpx._client", "Client", _HTTPX),
    ("httpx._client", "AsyncClient", _HTTPX),
    ("httpx2._client", "Client", _HTTPX),
    ("httpx2._client", "AsyncClient", _HTTPX),
    ("requests.sessions", "Session", ("get_adapter", "send")),
    ("aiohttp.client", "ClientSession", ("_request",)),
    ("botocore.httpsession", "URLLib3Session", ("send",)),
)
"""Where an HTTP client is, and its methods that an answer passes. One that has its own may send by itself."""

_SAID: Final = ("api_key", "auth_token", "organization", "project", "_custom_headers", "base_headers")
"""Attributes of SDKs that say who asks."""


def who_asks(client: Any) -> str | None:
    """Return a digest of who asks through a client, as far as it says so, and through which transports.

    Args:
        client: The client whose method makes the call.

    Returns:
        None if the client may send a request without passing what replays an answer.
    """
    if _fields(client).get("_middleware") or _fields(client).get("_middlewares"):
        return None  # it may send something by itself
    found = list(_http_clients(client, _DEEPEST))
    if not found or not all(_is_replayed_to(each, *kind) for each, kind in found):
        return None
    fields = _fields(client)
    said = [[name, _said(fields[name])] for name in _SAID if name in fields]
    return sha256(json.dumps([said, *(_way(each) for each, _ in found)]).encode()).hexdigest()


def _fields(thing: Any) -> dict[str, Any]:
    fields: Any = getattr(thing, "__dict__", None)
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def _http_clients(thing: Any, depth: int) -> Iterator[tuple[Any, tuple[type, tuple[str, ...]]]]:
    for module, owner, methods in _CLIENTS:
        kind: Any = getattr(sys.modules.get(module), owner, None)
        if kind is not None and isinstance(thing, kind):
            yield thing, (kind, methods)
            return
    if depth:
        fields = _fields(thing)
        for name in _BELOW:
            if fields.get(name) is not None:
                yield from _http_clients(fields[name], depth - 1)


def _is_replayed_to(client: Any, kind: type, methods: tuple[str, ...]) -> bool:
    """Return True if a request of `client` passes what replays an answer."""
    fields = _fields(client)
    own = cast("type[object]", type(client))
    if fields.get("_middlewares"):
        return False
    connector = fields.get("_connector")
    if connector is not None:
        base: Any = getattr(sys.modules.get("aiohttp.connector"), "BaseConnector", None)
        if getattr(cast("type[object]", type(connector)), "connect", None) is not getattr(base, "connect", None):
            return False
    return all(
        name not in fields and _is_known(getattr(own, name, None), getattr(kind, name, None)) for name in methods
    )


def _is_known(method: Any, base: Any) -> bool:
    """Return True for a method of the HTTP client itself, or of Google's SDK: it has a client for each event loop."""
    return method is base or str(getattr(method, "__module__", "")).startswith("google.genai.")


def _way(client: Any) -> list[Any]:
    """Return what an HTTP client adds to a request, and how it sends it."""
    fields = _fields(client)
    transport = next((fields[name] for name in ("_transport", "_connector") if fields.get(name) is not None), None)
    headers = fields.get("_headers", fields.get("headers"))
    said = sorted(_said(headers)) if headers is not None else []
    return [said, name_of(transport) if transport is not None else ""]


def _said(value: Any) -> Any:
    """Return what can be compared of a value: nothing of a function that makes a key for each request."""
    if isinstance(value, str):
        return value
    items = getattr(value, "items", None)
    if items is None:
        return ""
    return [
        [low, str(each)]
        for name, each in items()
        if isinstance(each, (str, int)) and counting(low := str(name).lower())
    ]
