"""The contract of a cache store, which keeps answers and results until they expire, and says who is fetching one.

A store keeps bytes by key. It interprets neither. Every entry belongs to a scope (a tenant, a user, a process), so that
one scope can be cleared. No verb reads a clock: `now` is always an argument. A store that is down raises, and the
caller goes on as if there were no cache. `tests/savings/stores/contract.py` states what the verbs must do.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Stored(NamedTuple):
    """One entry of a store."""

    value: bytes
    at: float
    """When it was stored, in seconds since the epoch."""


class Size(NamedTuple):
    """The contents of a store, in numbers."""

    entries: int
    size: int
    """In bytes."""


def scope_of(tenant: str | None, user: str | None, process: str) -> str:
    """Return the scope of an entry: of the tenant, else of the user, else of the process, so never of everybody.

    Args:
        tenant: The tenant that the call is attributed to.
        user: The user that the call is attributed to.
        process: Identifies the process. No other process has the same.
    """
    if tenant:
        return tenant_scope(tenant)
    return user_scope(user) if user else f"process={process}"


def tenant_scope(tenant: str) -> str:
    """Return the scope of a tenant, which `agentcost cache clear --tenant` clears."""
    return f"tenant={tenant}"


def user_scope(user: str) -> str:
    """Return the scope of a user, which `agentcost cache clear --user` clears."""
    return f"user={user}"


class CacheStore(Protocol):
    """Keeps bytes by key."""

    shared: bool
    """True if other processes see the same entries."""
    blocking: bool
    """True if a verb may wait for a file or a server, and must not run on an event loop."""

    def get(self, key: str, now: float) -> Stored | None:
        """Return an entry that has not expired.

        Args:
            key: The key of the entry.
            now: The time in seconds since the epoch.
        """
        ...

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        """Keep an entry, in place of one with the same key. Other entries make room for it.

        Args:
            key: The key of the entry.
            scope: Whose entry it is.
            value: The bytes to keep.
            now: The time in seconds since the epoch.
            expires: When the entry expires, in seconds since the epoch.

        Returns:
            False if it is larger than everything that the store may keep.
        """
        ...

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        """Say that `owner` is fetching what `key` stands for, unless somebody else is.

        Args:
            key: The key of the entry.
            owner: Identifies the caller.
            now: The time in seconds since the epoch.
            until: When the claim expires, in seconds since the epoch, if `owner` has crashed.

        Returns:
            True if the claim is the caller's; False if it is of another owner, whose entry may come soon.
        """
        ...

    def unclaim(self, key: str, owner: str) -> None:
        """Give a claim up. Does nothing if it is of another owner."""
        ...

    def clear(self, scope: str | None) -> int:
        """Remove the entries of a scope, or of all scopes for None. Returns how many they were."""
        ...

    def size(self, now: float) -> Size:
        """Return the number and the bytes of the entries that have not expired."""
        ...

    def close(self) -> None:
        """Close what is open. A later verb opens it again."""
        ...
