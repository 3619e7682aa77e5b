"""Identical calls of this process that are under way: the first one makes its call, the others wait for its answer."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from typing import Any

from otel_agentcost.savings.responses.entries import Entry
from otel_agentcost.telemetry import event_loops

Runner = tuple[int, object | None]
"""A thread, and the task in it."""


def runner() -> Runner:
    """Return what runs the code here. To be called before a call goes to a worker thread."""
    return threading.get_ident(), event_loops.current_task()


class Flight:
    """A call that is under way. Its result is the entry that it has stored, or None."""

    __slots__ = ("_begun", "_runner", "ended")

    def __init__(self, runner: Runner) -> None:
        """Begin a flight of `runner`."""
        self.ended: Future[Entry | None] = Future()
        self._runner = runner
        self._begun = time.monotonic()

    def ends_in(self, longest: float) -> float:
        """Return the seconds for which it is worth waiting: a stream that is not read may never end."""
        return self._begun + longest - time.monotonic()

    def is_of(self, runner: Runner) -> bool:
        """Return True if `runner` has begun it: waiting for itself would take for ever."""
        (thread, task), (own_thread, own_task) = runner, self._runner
        return task is own_task if task is not None else thread == own_thread

    def wait(self, seconds: float) -> Entry | None:
        """Wait in a thread."""
        try:
            return self.ended.result(seconds)
        except (TookTooLong, TimeoutError):
            return None

    async def wait_async(self, seconds: float) -> Entry | None:
        """Wait in a task. Other tasks of its event loop go on."""
        if event_loops.running() == "trio":
            await self._wait_in_trio(seconds)
        elif event_loops.running() == "asyncio":
            await asyncio.wait({asyncio.wrap_future(self._shadow())}, timeout=seconds)
        return self.ended.result() if self.ended.done() else None

    def _shadow(self) -> Future[None]:
        """Return a future of one waiter, which it may cancel."""
        shadow: Future[None] = Future()

        def end(_: object) -> None:
            if shadow.set_running_or_notify_cancel():
                shadow.set_result(None)

        self.ended.add_done_callback(end)
        return shadow

    async def _wait_in_trio(self, seconds: float) -> None:
        trio: Any = sys.modules["trio"]
        token, ended = trio.lowlevel.current_trio_token(), trio.Event()

        def end(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                token.run_sync_soon(ended.set)

        self.ended.add_done_callback(end)
        with trio.move_on_after(seconds):
            await ended.wait()


class Flights:
    """The flights of this process, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._process = os.getpid()

    def join(self, key: str, flight: Flight) -> Flight:
        """Return the flight of `key`: `flight` if there was none."""
        if self._process != os.getpid():  # a fork: the calls of its parent do not end here
            self._flights, self._process = {}, os.getpid()
        return self._flights.setdefault(key, flight)  # one step: no other thread comes between

    def land(self, key: str, flight: Flight, entry: Entry | None) -> None:
        """End a flight."""
        if self._flights.get(key) is flight:
            self._flights.pop(key, None)
        if not flight.ended.done():
            flight.ended.set_result(entry)
