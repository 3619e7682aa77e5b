"""Locks and connections across a fork: a child must neither wait for a thread of its parent nor share its connection.

A ledger that locks takes part by deriving from `ForkSafe`. Its lock is taken before a fork, so that the child's copy
is whole, and the child gets a new one.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

__all__ = ["ForkSafe"]


class ForkSafe:
    """A ledger with one lock, and with something to do when the process forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        with _lock:
            _ledgers.add(self)

    def before_fork(self) -> None:
        """Runs in the parent, under the lock."""

    def after_fork(self) -> None:
        """Runs in the child, before anything else of it does."""


_lock = threading.Lock()
_ledgers: WeakSet[ForkSafe] = WeakSet()
_taken: list[ForkSafe] = []
"""The ledgers whose lock the fork that is under way has taken."""


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
    global _lock  # noqa: PLW0603 - there is one a process
    _lock = threading.Lock()
    _taken.clear()
    for ledger in list(_ledgers):
        ledger._lock = threading.Lock()  # noqa: SLF001
        ledger.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
