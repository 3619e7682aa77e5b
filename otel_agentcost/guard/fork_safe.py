"""Locks and connections in a fork: a child must neither wait for a thread of its parent nor share its connection.

A ledger, or a store of caches, with a lock is a subclass of `ForkSafe`. Its lock is acquired before a fork, so that the
child's copy is consistent, and the child gets a new lock.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

__all__ = ["ForkSafe"]


class ForkSafe:
    """Base of ledgers and stores with one lock, and hooks for a fork of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        with _lock:
            _ledgers.add(self)

    def before_fork(self) -> None:
        """Prepare for a fork. Called in the parent, under the lock."""

    def after_fork(self) -> None:
        """Repair the state after a fork. Called in the child before all other code."""


_lock = threading.Lock()
_ledgers: WeakSet[ForkSafe] = WeakSet()
_taken: list[ForkSafe] = []
"""The ledgers whose lock the current fork has acquired."""


def _before() -> None:
    _lock.acquire()
    for ledger in list(_ledgers):
        ledger._lock.acquire()  # noqa: SLF001
        _taken.append(ledger)
        ledger.before_fork()


def _in_parent() -> None:
    for ledger in _taken:
        ledger._lock.release()  # noqa: SLF001
    _taken.clear()
    _lock.release()


def _in_child() -> None:
    global _lock  # noqa: PLW0603 - one for each process
    _lock = threading.Lock()
    _taken.clear()
    for ledger in list(_ledgers):
        ledger._lock = threading.Lock()  # noqa: SLF001
        ledger.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
