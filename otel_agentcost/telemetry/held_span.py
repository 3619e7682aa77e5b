"""Set attributes at the end of a span that other code ends.

An ended span cannot be changed: SDK 1.45 calls `SpanProcessor._on_ending` after it has frozen the span. `before_end`
therefore shadows the method `end` of one span object: it runs a function while the span still records, and then ends
the span. `HeldSpan` also delays the end until the figures of a call are known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span

from otel_agentcost.diagnostics import report


def before_end(span: Span, write: Callable[[], None]) -> None:
    """Call `write` once, right before `span` ends, while its attributes can still be set.

    An exception of `write` is logged, and the span ends all the same.
    """
    end: Callable[..., None] = span.end

    def ending(*args: Any, **kwargs: Any) -> None:
        # Restores the method first: no reference cycle keeps the span alive, and a second end() behaves as usual.
        _shadow(span, end)
        try:
            write()
        except Exception as error:
            report("writing a span's totals", error)
        end(*args, **kwargs)

    _shadow(span, ending)


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
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._end_time = end_time if end_time is not None else time.time_ns()
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
        _shadow(self.span, self._end)
        try:
            write()
        except Exception as error:
            report("writing a call's figures", error)
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
