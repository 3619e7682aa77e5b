"""Stores of cached answers and tool results: one module for each kind, and the function that opens one by its URL.

`core.cache_store` defines the protocol. A module of this folder whose name has no leading underscore is the store of
the URL scheme of that name; it has a function `open_store(url, *, timeout, most_bytes)`. Other distributions add theirs
with an entry point of the group `otel_agentcost.cache_stores`: its name is the scheme, and its value such a function or
a module that has one. Nothing is connected before the first verb needs it.

A store raises if it is down. `_tolerant.TolerantStore` wraps one that is asked during a call: it never raises.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final, cast

from otel_agentcost import plugins
from otel_agentcost.core.cache_store import CacheStore
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.plugins import Schemes

__all__ = ["MOST_BYTES", "SCHEMES", "StoreError", "open_store"]

MOST_BYTES: Final = 64 * 1024 * 1024
"""How much a store keeps by default."""

SCHEMES: Final = Schemes("cache_stores", Path(__file__).parent)
"""The schemes of URLs of stores."""
_VERBS: Final = ("get", "put", "claim", "unclaim", "clear", "size", "close")


class StoreError(AgentCostError):
    """The store cannot be opened, reached or read. The caller goes on as if there were no cache."""


def open_store(url: str, *, timeout: float = 0.25, most_bytes: int = MOST_BYTES) -> CacheStore:
    """Open the store that `url` names. Nothing is connected yet.

    Args:
        url: For example `memory://`, `sqlite:///path/to/file` or `redis://host:port/db`.
        timeout: Seconds that a verb waits for a server, or for other processes that write to the same file.
        most_bytes: How much the store keeps. A server has its own limit (`maxmemory`): there it limits one entry.

    Raises:
        StoreError: The scheme is unknown, or the store cannot be opened.
    """
    scheme = plugins.scheme_of(url)
    if scheme in SCHEMES.built_in:
        store: CacheStore = import_module(f"{__name__}.{scheme}").open_store(
            url.strip(), timeout=timeout, most_bytes=most_bytes
        )
        return store
    entry = SCHEMES.entry_point(scheme)
    if entry is None:
        raise StoreError(f"The cache {shown(url)} has an unknown scheme: {SCHEMES.hint()}.")
    return _open_plugin(entry, url, timeout, most_bytes)


def shown(url: str) -> str:
    """Return `url` as messages show it: in quotes, cut, and without its password."""
    return f"{without_password(url)!r:.120}"


def _open_plugin(entry: EntryPoint, url: str, timeout: float, most_bytes: int) -> CacheStore:
    try:
        store: object = plugins.load(entry, "open_store")(url, timeout=timeout, most_bytes=most_bytes)
    except StoreError:
        raise
    except (Exception, SystemExit) as error:  # code of other distributions may raise anything
        reason = without_password(f"{type(error).__name__}: {error}")
        raise StoreError(f"The cache {shown(url)} of {entry.value} cannot be opened ({reason:.300}).") from error
    if not all(callable(getattr(store, verb, None)) for verb in _VERBS):
        raise StoreError(
            f"The entry point {entry.name} = {entry.value} opens {type(store).__name__}, which is not a store: it "
            f"lacks one of the methods {', '.join(_VERBS)}."
        )
    return cast("CacheStore", store)
