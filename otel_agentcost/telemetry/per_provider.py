"""One object for each provider of OpenTelemetry, however often an application instruments with it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class PerProvider(Generic[_T]):
    """One object for each provider: a provider can remove neither an instrument nor a processor.

    Code that instruments, uninstruments and instruments again with the same provider gets the same object. Providers
    are compared by identity, because Logfire's cannot be hashed.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], _T]] = {}

    def get(self, provider: Any, make: Callable[[], _T]) -> _T:
        """Return the object of `provider`, made now if there is none."""
        key = id(provider)
        reference, known = self._known.get(key, (None, None))
        if known is None or reference is None or reference() is not provider:
            known = make()
            self._known[key] = weakref.ref(provider, lambda _: self._known.pop(key, None)), known
        return known
