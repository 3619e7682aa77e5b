"""Threads for blocking ledgers, so that no event loop waits for them.

They belong to the guard. The default threads of a loop (`asyncio.to_thread`) may all be busy with work of the
application that waits for the very call that is to be admitted here: a deadlock. Used for calls of asyncio and trio.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

from otel_agentcost.telemetry import event_loops

_T = TypeVar("_T")

THREADS = 8
"""At most: a ledger in a file takes one at a time, and a server answers each within a millisecond or so."""


async def run_in_thread(action: Callable[[], _T], undo: Callable[[], object]) -> _T:
    """Run `action` in a thread.

    Args:
        action: The function to run.
        undo: Is run afterwards if the task is cancelled meanwhile, so that the action has no effect.

    Returns:
        The result of `action`.

    """
    running: Future[_T] = _threads().submit(copy_context().run, action)  # as `asyncio.to_thread` does
    try:
        if event_loops.running() == "trio":
            return await _result_in_trio(running)
        return await asyncio.wrap_future(running)
    except BaseException:  # also if the coroutine is closed by hand
        if not running.cancel():
            running.add_done_callback(lambda done: _undo(done, undo))
        raise


async def _result_in_trio(running: Future[_T]) -> _T:
    trio: Any = sys.modules["trio"]
    token = trio.lowlevel.current_trio_token()
    finished = trio.Event()

    def finish(_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            token.run_sync_soon(finished.set)

    running.add_done_callback(finish)
    await finished.wait()
    return running.result()


async def run_to_its_end(action: Callable[[], object]) -> None:
    """Run `action`, which must not raise, in a thread, and wait for it. It goes on if the task is cancelled."""
    try:
        running: Future[object] = _threads().submit(copy_context().run, action)
    except RuntimeError:  # the process exits and accepts no more: run it now
        action()
        return
    if event_loops.running() == "trio":
        await _result_in_trio(running)
    else:
        await asyncio.shield(asyncio.wrap_future(running))


def submit(action: Callable[[], object]) -> None:
    """Run `action` in a thread soon, and before the process exits. It must not raise."""
    try:
        _threads().submit(copy_context().run, action)
    except RuntimeError:  # the process exits and accepts no more: run it now
        action()


def _undo(done: Future[_T], undo: Callable[[], object]) -> None:
    if done.cancelled() or done.exception() is not None:
        return
    with suppress(RuntimeError):  # the process exits: the reservation expires with its lease
        _threads().submit(undo)


_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - one for each process
    if _pool is None:
        with _lock:
            _pool = _pool or ThreadPoolExecutor(THREADS, thread_name_prefix="agentcost-ledger")
    return _pool


def _in_child() -> None:
    global _lock, _pool  # noqa: PLW0603 - a fork has none of the threads
    _lock = threading.Lock()
    _pool = None


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
