"""Set attributes at the end of a span that other code ends.

An ended span cannot be changed: SDK 1.45 calls `SpanProcessor._on_ending` after it has frozen the span. `before_end`
therefore shadows the method `end` of one span object: it runs a function while the span still records, and then ends
the span. `HeldEnd` delays the end until the calls in flight below the span have ended, `HeldSpan` until the figures of
its own call are known.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span

from otel_agentcost.diagnostics import complete, report


def before_end(span: Span, write: Callable[[], None]) -> None:
    """Call `write` once, right before `span` ends, while its attributes can still be set.

    An exception of `write` is logged, and the span ends all the same.
    """
    end: Callable[..., None] = span.end

    def ending(*args: Any, **kwargs: Any) -> None:
        # Restores the method first: no reference cycle keeps the span alive, and a second end() behaves as usual.
        try:
            _shadow(span, end)
            write()
        except Exception as error:
            report("writing a span's totals", error)
        finally:  # also if an exception of others arrives meanwhile
            _shadow(span, end)
            end(*args, **kwargs)

    _shadow(span, ending)


class HeldEnd:
    """The end of a span that waits for its totals: calls may be in flight when the owner ends it.

    The span keeps the time at which its owner ended it.
    """

    __slots__ = ("_end", "_end_time", "_finished", "_settled", "_span", "_write", "ended_at")

    def __init__(self, span: Span, write: Callable[[], None], settled: Callable[[Callable[[], None]], bool]) -> None:
        """Watch the end of `span`.

        Args:
            span: A span that records.
            write: Writes the totals, once, right before the span ends.
            settled: Arranges for a later call of its argument, and returns True, if the totals are not complete.
        """
        self._span = span
        self._write = write
        self._settled = settled
        self._finished = False
        self._end: Callable[..., None] = span.end
        self._end_time: int | None = None
        self.ended_at = 0.0
        """When the owner ended the span, in seconds of the monotonic clock; 0 if it has not."""
        _shadow(span, self._owner_ends)

    def _owner_ends(self, end_time: int | None = None) -> None:
        if self._end_time is None:
            self._end_time = end_time if end_time is not None else time.time_ns()
        try:
            self._wait_or_finish()
        except BaseException:  # of others: it may arrive anywhere in here
            complete(self._wait_or_finish)
            raise

    def _wait_or_finish(self) -> None:
        if not self.ended_at:
            with _lock:
                _held[id(self)] = self
            self.ended_at = time.monotonic()
        if not self._settled(self.finish):
            self.finish()

    def finish(self) -> None:
        """End the span with the totals as they are. Later calls change nothing."""
        ours = False
        try:
            with _lock:
                if self._finished or id(self) not in _held:
                    return
                self._finished = ours = True
            self._end_span()
        except BaseException:  # of others: it may arrive anywhere in here
            if ours:
                complete(self._end_span)
            raise

    def _end_span(self) -> None:
        if self._span.is_recording():
            _shadow(self._span, self._end)
            try:
                self._write()
            except Exception as error:  # the span ends all the same
                report("writing a span's totals", error)
            self._end(end_time=self._end_time)
        with _lock:
            _held.pop(id(self), None)


_lock = threading.Lock()
_held: dict[int, HeldEnd] = {}
"""Ends that wait, in a process that has not forked since."""


def end_held(waiting: float = 0.0) -> None:
    """End the spans that have waited for at least this number of seconds, with the totals that they have."""
    if not _held:
        return
    latest = time.monotonic() - waiting
    with _lock:
        due = [held for held in _held.values() if held.ended_at <= latest]
    for held in due:
        held.finish()


def _in_child() -> None:
    """Leave the spans to the parent: calls in flight end there."""
    global _lock  # noqa: PLW0603 (one for each process)
    _lock = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)


class HeldSpan:
    """A span of another instrumentation that must not end before the figures of the call are set on it.

    The span ends when its owner has ended it and `release` was called, in either order. Its end time is the time at
    which the owner ended it. That may be long before the figures are known: anthropic ends its span before it returns
    the response, Logfire before the application reads the stream. Thread-safe.
    """

    __slots__ = ("_end", "_end_time", "_ended", "_lock", "_released", "keeper", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.keeper: object = None
        """An object to keep alive until the span has ended. Its finalizer can call `lost` if both are unreachable."""
        self._lock = threading.Lock()
        self._end: Callable[..., None] = span.end
        self._end_time: int | None = None
        self._ended = False
        self._released: Callable[[], None] | None = None
        _shadow(span, self._owner_ends)

    @property
    def ended(self) -> bool:
        """True if the owner has ended the span, or `lost` was called."""
        return self._ended

    def _owner_ends(self, end_time: int | None = None) -> None:
        if self._ended:
            return
        self._end_time = end_time if end_time is not None else time.time_ns()
        try:
            self._finish_if_released()
        except BaseException:  # of others: it may arrive anywhere in here
            complete(self._finish_if_released)
            raise

    def _finish_if_released(self) -> None:
        with self._lock:
            self._ended = True
            write = self._released
        if write is not None:
            self._finish(write)

    def release(self, write: Callable[[], None]) -> None:
        """Let the span end. `write` sets the figures of the call on it, right before it ends."""
        with self._lock:
            self._released = write
            ended = self._ended
        if ended:
            self._finish(write)

    def _finish(self, write: Callable[[], None]) -> None:
        if not self.span.is_recording():  # an exception of others arrived after its end, and this is done again
            return
        try:
            _shadow(self.span, self._end)
            write()
        except Exception as error:
            report("writing a call's figures", error)
        finally:
            _shadow(self.span, self._end)
            self._end(end_time=self._end_time)

    def lost(self) -> None:
        """Act as if the owner ended the span now. Some owners never end the span of a stream that is not read out."""
        self._owner_ends()


def _shadow(span: Span, end: Callable[..., None]) -> None:
    fields = vars(span)
    if getattr(end, "__self__", None) is span:  # the original method: remove the shadow
        fields.pop("end", None)
    else:
        fields["end"] = end
