"""Where calls wait for money that others only hold: one queue a budget, first come first served.

Only the first of a queue asks the ledger; it is woken when a call of this process settles, and looks by itself now and
then, because calls of other processes settle too. Threads wait on an event, tasks on one of their loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from weakref import WeakSet

from otel_agentcost.guard.ledger import Claim


class Waiter:
    """A thread in a queue."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """From any thread."""
        self._event.set()

    def clear(self) -> None:
        """Before the ledger is asked: whatever settles from now on wakes."""
        self._event.clear()

    def wait(self, seconds: float) -> None:
        """Until it is woken, at most so long."""
        self._event.wait(seconds)


class TaskWaiter:
    """A task in a queue."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """From any thread, also when the loop is gone and nobody waits any more."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    def clear(self) -> None:
        """Before the ledger is asked: whatever settles from now on wakes."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Until it is woken, at most so long."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)


AnyWaiter = Waiter | TaskWaiter


class Queues:
    """All queues of a guard, by the key of the budget that is waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, OrderedDict[AnyWaiter, None]] = {}
        _all.add(self)

    def busy(self, claims: Iterable[Claim]) -> str | None:
        """One of the budgets for which somebody waits already: who comes later goes behind."""
        if not self._queues:
            return None
        with self._lock:
            return next((claim.key for claim in claims if claim.key in self._queues), None)

    def join(self, key: str, waiter: AnyWaiter) -> None:
        """Puts `waiter` at the end of the queue for `key`."""
        with self._lock:
            self._queues.setdefault(key, OrderedDict())[waiter] = None

    def leave(self, key: str, waiter: AnyWaiter) -> None:
        """Takes `waiter` out, admitted or not, and lets the next one look."""
        with self._lock:
            queue = self._queues.get(key)
            if queue is None or waiter not in queue:
                return
            del queue[waiter]
            first = next(iter(queue), None)
            if first is None:
                del self._queues[key]
        if first is not None:
            first.wake()

    def is_first(self, key: str, waiter: AnyWaiter) -> bool:
        """Whether it is this one's turn."""
        with self._lock:
            return next(iter(self._queues.get(key, ())), None) is waiter

    def wake(self, claims: Iterable[Claim]) -> None:
        """Something in these budgets has become free, or was spent: the first of each queue looks."""
        if not self._queues:
            return
        with self._lock:
            firsts = [next(iter(self._queues[claim.key])) for claim in claims if claim.key in self._queues]
        for waiter in firsts:
            waiter.wake()

    def after_fork(self) -> None:
        """In a child process nobody waits."""
        self._lock = threading.Lock()
        self._queues = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._queues.values()))


_all: WeakSet[Queues] = WeakSet()


def _in_child() -> None:
    for queues in list(_all):
        queues.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
