"""Setting attributes on a span that others end.

An ended span cannot be changed (`SpanProcessor._on_ending` is called after the freeze in SDK 1.45), so what must be
known at the end is hooked in front of it: `before_end` shadows `end` on the one span object, runs our code while
the span still records, and ends it. `hold` does the same for a span whose end has to wait for us.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span

from otel_agentcost.diagnostics import report


def before_end(span: Span, write: Callable[[], None]) -> None:
    """Calls `write` once, when `span` is about to end and can still be written to."""
    end: Callable[..., None] = span.end

    def ending(*args: Any, **kwargs: Any) -> None:
        # Takes itself off first: no cycle keeps the span alive, and a second end() goes the usual way.
        _shadow(span, end)
        try:
            write()
        except Exception as error:
            report("writing a span's totals", error)
        end(*args, **kwargs)

    _shadow(span, ending)


class HeldSpan:
    """A span of somebody else's that must not end before our figures are on it.

    Whoever comes last ends it, at the time at which its owner ended it: that may be long before the figures are there
    (anthropic ends its span before it hands the answer over, Logfire before a stream is read). Thread-safe.
    """

    __slots__ = ("_end", "_end_time", "_ended", "_lock", "_released", "keeper", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.keeper: object = None
        """Lives as long as the span has not ended: when both are dropped, the keeper can still end the span."""
        self._lock = threading.Lock()
        self._end: Callable[..., None] = span.end
        self._end_time: int | None = None
        self._ended = False
        self._released: Callable[[], None] | None = None
        _shadow(span, self._owner_ends)

    @property
    def ended(self) -> bool:
        """Whether its owner has ended it, or was found to be gone."""
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
        """Our figures are ready: `write` puts them on the span, last of all, right before it ends."""
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
        """Its owner is gone without ending it (some forget a stream that was not read out): it ends now."""
        self._owner_ends()


def _shadow(span: Span, end: Callable[..., None]) -> None:
    fields = vars(span)
    if getattr(end, "__self__", None) is span:  # the span's own method: nothing needs to shadow it
        fields.pop("end", None)
    else:
        fields["end"] = end
