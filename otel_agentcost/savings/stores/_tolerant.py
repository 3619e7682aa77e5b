"""A store that may be down: it is no cache meanwhile, and is asked again after a pause.

After a failure the store is not called for a while, so that not every call waits for a time-out. Its queries are no
work of the application: instrumentations of its client make no spans of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_agentcost.core.cache_store import CacheStore, Size, Stored
from otel_agentcost.diagnostics import reraise_foreign, warn_once

__all__ = ["TolerantStore"]

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds without a question after a failure: after the first one, and after many in a row."""

_T = TypeVar("_T")


class TolerantStore:
    """Implements `CacheStore`. No verb raises but by a signal handler."""

    def __init__(self, store: CacheStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Wrap `store`.

        Args:
            store: The store.
            monotonic: Returns seconds that only grow.
        """
        self.wrapped = store
        self.shared = store.shared
        self.blocking = store.blocking
        self._monotonic = monotonic
        self._pause = 0.0
        self._until = 0.0

    def get(self, key: str, now: float) -> Stored | None:
        """See `CacheStore`. None while the store is down."""
        return self._try(lambda: self.wrapped.get(key, now), None)

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        """See `CacheStore`. False while the store is down."""
        return self._try(lambda: self.wrapped.put(key, scope, value, now, expires), False)

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        """See `CacheStore`. True while the store is down: no call waits for another."""
        return self._try(lambda: self.wrapped.claim(key, owner, now, until), True)

    def unclaim(self, key: str, owner: str) -> None:
        """See `CacheStore`."""
        self._try(lambda: self.wrapped.unclaim(key, owner), None)

    def clear(self, scope: str | None) -> int:
        """See `CacheStore`. 0 while the store is down."""
        return self._try(lambda: self.wrapped.clear(scope), 0)

    def size(self, now: float) -> Size:
        """See `CacheStore`. Nothing while the store is down."""
        return self._try(lambda: self.wrapped.size(now), Size(0, 0))

    def close(self) -> None:
        """See `CacheStore`."""
        self._try(self.wrapped.close, None)

    def _try(self, verb: Callable[[], _T], otherwise: _T) -> _T:
        if self._until and self._monotonic() < self._until:
            return otherwise
        try:
            if not self.blocking:
                result = verb()
            else:
                with suppress_instrumentation():
                    result = verb()
        except Exception as error:
            reraise_foreign(error)
            self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            self._until = self._monotonic() + self._pause
            warn_once(
                f"cache {type(self.wrapped).__name__} {type(error).__name__}",
                f"otel-agentcost: {error!s:.400} Nothing is cached meanwhile; calls are made as without a cache.",
            )
            return otherwise
        self._pause = self._until = 0.0
        return result
