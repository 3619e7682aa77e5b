"""Open the store that the settings name: encrypted if there is a key, and for calls one that may be down."""

from __future__ import annotations

from otel_agentcost.core.cache_store import CacheStore
from otel_agentcost.savings.stores import MOST_BYTES, open_store
from otel_agentcost.savings.stores._encrypted import EncryptedStore, key_bytes
from otel_agentcost.savings.stores._tolerant import TolerantStore

__all__ = ["open_for_calls", "sealed"]


def sealed(url: str, key: str | None, *, timeout: float = 0.25, most_bytes: int = MOST_BYTES) -> CacheStore:
    """Open a store, encrypted if there is a key. Memory is not: it is not at rest.

    Args:
        url: The URL of the store.
        key: The key as it is written in the settings; None for none.
        timeout: Seconds that a verb waits.
        most_bytes: How much it keeps.

    Raises:
        StoreError: It cannot be opened, or the key cannot be used: nothing is kept in plain text instead.
    """
    store = open_store(url, timeout=timeout, most_bytes=most_bytes)
    return store if key is None or not store.shared else EncryptedStore(store, key_bytes(key))


def open_for_calls(url: str, key: str | None, *, timeout: float = 0.25, most_bytes: int = MOST_BYTES) -> TolerantStore:
    """Open a store for calls of the application, which never raises. `sealed` describes the arguments.

    Raises:
        StoreError: As by `sealed`.
    """
    return TolerantStore(sealed(url, key, timeout=timeout, most_bytes=most_bytes))
