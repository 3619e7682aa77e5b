"""Threads in which a ledger that takes its time is asked, so that no event loop stands still for it.

They are the guard's own. Those that a loop has for everybody (`asyncio.to_thread`) may all be busy with work of the
application that waits for the very call which is to be admitted here: then nobody would ever go on. Called by the
guard, for calls of asyncio alone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

_T = TypeVar("_T")

THREADS = 8
"""At most: a ledger in a file takes one at a time, and a server answers each within a millisecond or so."""


async def aside(ask: Callable[[], _T], take_back: Callable[[], object]) -> _T:
    """What `ask` returns, asked in a thread. A task that is cancelled meanwhile leaves nothing behind: what was asked
    for all the same, `take_back` takes back.
    """
    asked: Future[_T] = _threads().submit(copy_context().run, ask)  # as `asyncio.to_thread` does
    try:
        return await asyncio.wrap_future(asked)
    except BaseException:  # also where the coroutine is closed by hand
        if not asked.cancel():
            asked.add_done_callback(lambda done: _undo(done, take_back))
        raise


def later(act: Callable[[], object]) -> None:
    """Has `act` done in a thread, soon; at the end of the process at the latest. It must not raise."""
    try:
        _threads().submit(copy_context().run, act)
    except RuntimeError:  # the process is about to end, and takes no more: then at once
        act()


def _undo(asked: Future[_T], take_back: Callable[[], object]) -> None:
    if asked.cancelled() or asked.exception() is not None:
        return
    with suppress(RuntimeError):  # the process is about to end: what is held ends with its lease
        _threads().submit(take_back)


_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - there is one a process
    if _pool is None:
        with _lock:
            _pool = _pool or ThreadPoolExecutor(THREADS, thread_name_prefix="agentcost-ledger")
    return _pool


def _in_child() -> None:
    global _lock, _pool  # noqa: PLW0603 - threads do not come along
    _lock = threading.Lock()
    _pool = None


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
