"""Streams that the application never ended: dropped, open when the process exits, or forked.

A dropped stream is settled by a finalizer, and finalizers run at any allocation: also while this thread holds a lock
of the metrics SDK, where recording a metric would deadlock. Such a stream waits in a queue for the next safe moment:
the next call, a flush, the end of the process.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable
from functools import cache, partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Protocol

from opentelemetry.trace import Span

from otel_agentcost.diagnostics import apart, complete, foreign, report
from otel_agentcost.telemetry.blocks import Entered
from otel_agentcost.telemetry.held_span import end_held
from otel_agentcost.telemetry.rollup import Tally

PENDING: SimpleQueue[Callable[[], object]] = SimpleQueue()
"""Settlements that wait for a safe moment."""

FINALIZERS: set[str] = {__name__}
"""Names of the modules whose frames are a finalizer's own. Each of them adds its `__name__` when it is imported."""

_LOCKED = ("opentelemetry.sdk", "opentelemetry.exporter", f"{__name__.partition('.')[0]}.")


class OpenStream(Protocol):
    """A stream that may still be open when the process exits."""

    def lost(self) -> None:
        """Settle it: the application will not read on."""
        ...

    def disown(self) -> None:
        """Leave it to another process."""
        ...


_OPEN: weakref.WeakSet[OpenStream] = weakref.WeakSet()


def watch(stream: OpenStream) -> None:
    """Settle `stream` at the latest when the process exits, and disown it in the child of a fork."""
    _OPEN.add(stream)
    settle_at_exit()


def settle_when_safe(settle: Callable[[], object]) -> None:
    """Run `settle` from a finalizer: now where that is safe, else at the next safe moment.

    Python drops the exception of a signal handler that arrives in a finalizer, so nothing else would settle then.

    Args:
        settle: Has no effect when it is run again after its end.
    """
    try:
        _settle_when_safe(settle)
    except BaseException as error:  # not `complete` at once: within its frame nothing is safe (`inside_telemetry`)
        if foreign(error):
            complete(partial(_settle_when_safe, settle))
        raise


def _settle_when_safe(settle: Callable[[], object]) -> None:
    if inside_telemetry():
        PENDING.put(settle)
    else:
        apart(settle)


def abandoned(entered: Entered | None, span: Span | None) -> None:
    """End a block in its finalizer: it was never closed, or a signal handler's exception arrived before its exit.

    Args:
        entered: The block's place in the context, if it has one.
        span: The block's span, if it has one.
    """
    if entered is not None:
        entered.leave()
    if span is not None:
        settle_when_safe(partial(_end_span, span))


def _end_span(span: Span) -> None:
    if span.is_recording():
        span.end()


def settle_pending() -> None:
    """Settle the streams that wait for a safe moment."""
    while True:
        try:
            settle = PENDING.get_nowait()
        except Empty:
            return
        settle()


def inside_telemetry() -> bool:
    """Return whether this thread is inside the OpenTelemetry SDK or inside this package.

    The frames of the finalizer itself, on top of the stack, do not count.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (the only way to walk the stack without copying it)
    while frame is not None and frame.f_globals.get("__name__") in FINALIZERS:
        frame = frame.f_back
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_LOCKED) or _is_of_a_processor(frame):
            return True
        frame = frame.f_back
    return False


def _is_of_a_processor(frame: FrameType) -> bool:
    """Return whether the frame is a method of any span processor or exporter: it may hold a lock of its own."""
    code = frame.f_code
    if not code.co_argcount or code.co_varnames[0] != "self":
        return False
    owner: Any = frame.f_locals.get("self")
    kind: Any = type(owner)  # pyright: ignore[reportUnknownVariableType] (any class of the application)
    return (hasattr(kind, "on_start") and hasattr(kind, "on_end")) or (
        hasattr(kind, "export") and hasattr(kind, "shutdown")
    )


def _leave_to_the_parent() -> None:
    """After a fork: the parent settles the streams that were open."""
    for stream in list(_OPEN):
        stream.disown()
    _OPEN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def wait_for(tally: Tally, end: Callable[[], None]) -> bool:
    """Let `end` be called when the calls that count in `tally` have ended; at the latest when the process exits.

    Returns:
        False if they have ended already: `end` is not called then.
    """
    waits = tally.when_settled(end)
    if waits:
        settle_at_exit()
    return waits


@cache
def settle_at_exit() -> None:
    """Settle open streams when the process exits, and end the spans that wait for them.

    Exit hooks run last-in first-out: telemetry is still up then.
    """
    atexit.register(settle_open)


def settle_open() -> None:
    """Settle all open streams, and end the spans that wait for them: this process makes no more calls."""
    try:
        settle_pending()
        for stream in list(_OPEN):
            stream.lost()
        end_held()
    except Exception as error:
        report("settling open streams at exit", error)
