"""Calls a hook of the application, and gives up waiting for it in time.

A plain function runs in a thread of its own, so that one that hangs can be left behind. A coroutine function runs in
the event loop of an asynchronous call, and in a loop of its own for a synchronous one.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any, Final

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.telemetry import event_loops

WITHIN: Final[ContextVar[bool]] = ContextVar("agentcost_within_context_hook", default=False)
"""True while a hook runs: it is not asked about the calls that it makes itself."""


class TooSlow(Exception):
    """A hook has not returned in time."""


class _Run:
    """One run of a hook in a thread."""

    def __init__(self, function: Callable[[Any], Any], told: Any) -> None:
        self._function = function
        self._told = told
        self._over = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self.then: Callable[[], object] | None = None

    def start(self) -> None:
        """Start the thread, in a copy of the current context."""
        context = copy_context()
        threading.Thread(target=context.run, args=(self._run,), daemon=True, name="agentcost-context-hook").start()

    def _run(self) -> None:
        WITHIN.set(True)
        try:
            result = self._function(self._told)
            self._result = _completed(result) if inspect.iscoroutine(result) else result
        except BaseException as error:  # raised in the thread that waits
            self._error = error
        finally:
            self._over.set()
            if self.then is not None:
                self.then()

    def result(self, seconds: float) -> Any:
        """Wait for the result. Raises `TooSlow`, and what the hook raised."""
        if not self._over.wait(seconds):
            raise TooSlow
        if self._error is not None:
            raise HookFailed(self._error) from self._error
        return self._result


class HookFailed(Exception):
    """A hook has raised an exception."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}")
        self.error = error


def _completed(coroutine: Any) -> Any:
    import asyncio  # noqa: PLC0415 (only for hooks that need it)

    async def wait() -> Any:
        return await coroutine

    return asyncio.run(wait())


def run(function: Callable[[Any], Any], told: Any, seconds: float) -> Any:
    """Call a hook from a synchronous call. Raises `TooSlow` and `HookFailed`."""
    running = _Run(function, told)
    running.start()
    return running.result(seconds)


async def run_async(function: Callable[[Any], Any], told: Any, seconds: float) -> Any:
    """Do the same from an asynchronous call, without blocking its event loop."""
    library = event_loops.running()
    if library is None:  # a coroutine that is driven by hand
        return run(function, told, seconds)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 (what runs, not whether it can)
        wait: Any = _in_asyncio if library == "asyncio" else _in_trio
        return await wait(function, told, seconds)
    running = _Run(function, told)
    if library == "trio":
        trio: Any = sys.modules["trio"]
        running.start()
        return await trio.to_thread.run_sync(running.result, seconds, abandon_on_cancel=True)
    return await _of_thread(running, seconds)


async def _of_thread(running: _Run, seconds: float) -> Any:
    asyncio: Any = sys.modules["asyncio"]
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(over.set)
        except RuntimeError:  # the loop is closed: no task waits
            return

    running.then = wake
    running.start()
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except asyncio.TimeoutError:
        raise TooSlow from None
    return running.result(0)


async def _within(function: Callable[[Any], Any], told: Any) -> Any:
    before = WITHIN.set(True)
    try:
        return await function(told)
    except (SystemExit, KeyboardInterrupt) as error:  # a task would pass it on to the event loop, and end it
        raise HookFailed(error) from error
    except Exception as error:
        reraise_foreign(error)
        raise HookFailed(error) from error
    finally:
        WITHIN.reset(before)


async def _in_asyncio(function: Callable[[Any], Any], told: Any, seconds: float) -> Any:
    asyncio: Any = sys.modules["asyncio"]
    task = asyncio.ensure_future(_within(function, told))
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:  # one that ignores its cancellation is not waited for
        task.cancel()
    if not done:
        raise TooSlow
    if task.cancelled():  # by itself: the call is not cancelled
        raise HookFailed(asyncio.CancelledError())
    return task.result()


async def _in_trio(function: Callable[[Any], Any], told: Any, seconds: float) -> Any:
    trio: Any = sys.modules["trio"]
    with trio.move_on_after(seconds):
        return await _within(function, told)
    raise TooSlow
