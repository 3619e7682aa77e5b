"""Streams that nobody ended: dropped where telemetry cannot be touched, open when the process exits, or forked.

They are settled at the next safe moment: the next call, the end of the process. Fed by `inflight.py`; this module
knows of a call only how it is settled and disowned.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from functools import cache
from queue import Empty, SimpleQueue
from typing import Protocol

from otel_agentcost.diagnostics import report

PENDING: SimpleQueue[Callable[[], None]] = SimpleQueue()
"""How to settle the streams that could not settle where they were dropped (see `streams.inside_telemetry`)."""


class _Open(Protocol):
    """A stream that may still be open when the process exits."""

    def lost(self) -> None: ...

    def disown(self) -> None: ...


_OPEN: weakref.WeakSet[_Open] = weakref.WeakSet()


def watch(stream: _Open) -> None:
    """Has `stream` settled at the latest when the process exits, and disowned in the child of a fork."""
    _OPEN.add(stream)
    _settle_at_exit()


def settle_pending() -> None:
    """Settles the dropped streams that could not settle where they were dropped."""
    while True:
        try:
            settle = PENDING.get_nowait()
        except Empty:
            return
        settle()


def _leave_to_the_parent() -> None:
    """After a fork: the streams that were open are the parent's, who settles them."""
    for live in list(_OPEN):
        live.disown()
    _OPEN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


@cache
def _settle_at_exit() -> None:
    """Has open streams settled when the process exits, before the telemetry is shut down: what came first ends last."""

    def settle() -> None:
        try:
            settle_pending()
            for live in list(_OPEN):
                live.lost()
        except Exception as error:
            report("settling open streams at exit", error)

    atexit.register(settle)
