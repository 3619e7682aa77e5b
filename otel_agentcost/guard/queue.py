"""Queues of calls that wait for budget reserved by in-flight calls: one for each budget, first in, first out.

Only the first call of a queue asks the ledger. It is woken when a call of this process settles, and asks again now and
then, because calls of other processes settle too. Threads wait on a threading event, tasks on one of their loop.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from otel_agentcost.guard import forks
from otel_agentcost.guard.ledger import Claim
from otel_agentcost.telemetry import event_loops


class Waiter:
    """A thread that waits in a queue."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """End the wait. Can be called from any thread."""
        self._event.set()

    def clear(self) -> None:
        """Prepare for asking the ledger: every settlement from now on wakes."""
        self._event.clear()

    def wait(self, seconds: float) -> None:
        """Wait until `wake`, at most for this time."""
        self._event.wait(seconds)


class TaskWaiter:
    """A task of asyncio that waits in a queue."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """End the wait. Can be called from any thread, also after the loop was closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    def clear(self) -> None:
        """Prepare for asking the ledger: every settlement from now on wakes."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Wait until `wake`, at most for this time."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)


class TrioWaiter:
    """A task of trio that waits in a queue."""

    def __init__(self) -> None:
        self._trio: Any = sys.modules["trio"]
        self._token = self._trio.lowlevel.current_trio_token()
        self._event = self._trio.Event()

    def wake(self) -> None:
        """End the wait. Can be called from any thread, also after the loop has ended."""
        with suppress(RuntimeError):
            self._token.run_sync_soon(self._set)

    def _set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Prepare for asking the ledger: every settlement from now on wakes."""
        self._event = self._trio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait until `wake`, at most for this time."""
        with self._trio.move_on_after(seconds):
            await self._event.wait()


AnyTaskWaiter = TaskWaiter | TrioWaiter
AnyWaiter = Waiter | AnyTaskWaiter

_TASK_WAITERS: dict[event_loops.Library | None, Callable[[], AnyTaskWaiter]] = {
    "asyncio": TaskWaiter,
    "trio": TrioWaiter,
}


def task_waiter() -> Callable[[], AnyTaskWaiter] | None:
    """Return the class of waiters for tasks of the event loop that runs now. None if no known loop runs."""
    return _TASK_WAITERS.get(event_loops.running())


class Queues:
    """The queues of a guard, by the key of the budget."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, OrderedDict[AnyWaiter, None]] = {}
        forks.watch(self)

    def busy(self, claims: Iterable[Claim]) -> str | None:
        """Return the key of a budget with a queue, which a new call has to join; None if there is none."""
        if not self._queues:
            return None
        with self._lock:
            return next((claim.key for claim in claims if claim.key in self._queues), None)

    def join(self, key: str, waiter: AnyWaiter) -> None:
        """Put `waiter` at the end of the queue of `key`."""
        with self._lock:
            self._queues.setdefault(key, OrderedDict())[waiter] = None

    def leave(self, key: str, waiter: AnyWaiter) -> None:
        """Remove `waiter`, admitted or not, and wake the next one."""
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
        """Return True if `waiter` is the first of the queue."""
        with self._lock:
            return next(iter(self._queues.get(key, ())), None) is waiter

    def wake(self, claims: Iterable[Claim]) -> None:
        """Wake the first of each queue: something in these budgets was released or spent."""
        if not self._queues:
            return
        with self._lock:
            firsts = [next(iter(self._queues[claim.key])) for claim in claims if claim.key in self._queues]
        for waiter in firsts:
            waiter.wake()

    def after_fork(self) -> None:
        """Clear the queues in a child process: its parent's threads do not exist there."""
        self._lock = threading.Lock()
        self._queues = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._queues.values()))
