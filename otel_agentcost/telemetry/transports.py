"""Names of the transports of HTTP clients: two that may send a request differently never have the same name."""

from __future__ import annotations

import os
import secrets
from itertools import count
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

_STANDARD: Final = frozenset(
    {
        ("httpx", "HTTPTransport"),
        ("httpx", "AsyncHTTPTransport"),
        ("httpx2", "HTTPTransport"),
        ("httpx2", "AsyncHTTPTransport"),
        ("requests", "HTTPAdapter"),
        ("aiohttp", "TCPConnector"),
        ("google", "AiohttpTCPConnector"),
    }
)
"""Transports that send a request as it is to the host that it names: their package and class. Google's SDK has its own
connector, which differs from that of aiohttp in its end alone."""

_SALT: Final = secrets.token_hex(8)
_NUMBERS: Final = count()
_NAMES: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def name_of(transport: Any) -> str:
    """Return the name of a transport, which may change a request or send it elsewhere; "" for a standard one.

    No other transport has the name, in this process or another one.
    """
    kind = cast("type[object]", type(transport))
    if (kind.__module__.partition(".")[0], kind.__name__) in _STANDARD and _is_plain(transport):
        return ""
    try:
        number = _NAMES.setdefault(transport, next(_NUMBERS))
    except TypeError:  # it cannot be remembered
        number = next(_NUMBERS)
    return f"{_SALT}:{os.getpid()}:{number}"


def _is_plain(transport: Any) -> bool:
    """Return True if a transport of a standard class has no proxy, socket, resolver or method of its own."""
    fields: dict[str, Any] = getattr(transport, "__dict__", {})
    if not {"handle_request", "handle_async_request", "send", "connect"}.isdisjoint(fields):
        return False
    pool, resolver = fields.get("_pool"), fields.get("_resolver")
    if pool is not None and (not type(pool).__name__.endswith("ConnectionPool") or getattr(pool, "_uds", None)):
        return False
    return resolver is None or type(resolver).__module__.startswith("aiohttp.")
