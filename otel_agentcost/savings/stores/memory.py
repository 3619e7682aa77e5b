"""The store of one process (`memory://`): a dictionary under one lock, in the order of use.

It keeps a number of bytes, and drops what was not used for the longest time. A forked child keeps what its parent had,
and drops the claims: those are its parent's.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from otel_agentcost.core.cache_store import Size, Stored
from otel_agentcost.guard.fork_safe import ForkSafe
from otel_agentcost.savings.stores import StoreError, shown

__all__ = ["MemoryStore", "open_store"]

OVERHEAD: Final = 600
"""Bytes that an entry takes besides its key, its scope and its value."""
CLAIMS_AT_MOST: Final = 10_000
"""Maximum of claims. Beyond them, several may fetch the same."""


def open_store(url: str, *, timeout: float, most_bytes: int) -> MemoryStore:
    """Make an empty store.

    Raises:
        StoreError: The URL has a path.
    """
    del timeout  # there is no server
    if url.partition("://")[2]:
        raise StoreError(f"The cache {shown(url)} has a path, but memory:// takes none.")
    return MemoryStore(most_bytes)


class _Entry(NamedTuple):
    stored: Stored
    expires: float
    scope: str
    size: int


class MemoryStore(ForkSafe):
    """Implements `CacheStore`."""

    shared = False
    blocking = False

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._claims: dict[str, tuple[str, float]] = {}
        self._size = 0
        super().__init__()

    def get(self, key: str, now: float) -> Stored | None:
        """See `CacheStore`."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.expires <= now:
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry.stored

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        """See `CacheStore`."""
        size = len(key) + len(scope) + len(value) + OVERHEAD
        if size > self._most:
            return False
        entry = _Entry(Stored(value, now), expires, scope, size)
        with self._lock:
            self._drop(key)
            while self._entries and self._size + size > self._most:
                self._drop(next(iter(self._entries)))
            self._entries[key] = entry
            self._size += size
        return True

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        """See `CacheStore`."""
        with self._lock:
            held = self._claims.get(key)
            if held is not None and held[0] != owner and held[1] > now:
                return False
            if len(self._claims) >= CLAIMS_AT_MOST:
                self._claims = {each: claim for each, claim in self._claims.items() if claim[1] > now}
            if len(self._claims) < CLAIMS_AT_MOST:
                self._claims[key] = (owner, until)
            return True

    def unclaim(self, key: str, owner: str) -> None:
        """See `CacheStore`."""
        with self._lock:
            held = self._claims.get(key)
            if held is not None and held[0] == owner:
                del self._claims[key]

    def clear(self, scope: str | None) -> int:
        """See `CacheStore`."""
        with self._lock:
            keys = [key for key, entry in self._entries.items() if scope in (None, entry.scope)]
            for key in keys:
                self._drop(key)
            return len(keys)

    def size(self, now: float) -> Size:
        """See `CacheStore`."""
        with self._lock:
            sizes = [entry.size for entry in self._entries.values() if entry.expires > now]
            return Size(len(sizes), sum(sizes))

    def close(self) -> None:
        """See `CacheStore`."""

    def after_fork(self) -> None:
        """Drop the claims of the parent."""
        self._claims = {}

    def _drop(self, key: str) -> None:
        """Drop an entry, under the lock. No call in between: a signal handler's exception could arrive there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size
