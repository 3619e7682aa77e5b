"""The spans of other code that have started in a context and are open, also those that it does not make current.

Some instrumentations only say at its end what a span represents, and some never make it the current one. Time then
tells which call it is of: it was one of the latest spans when the call started, in the same running code.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from opentelemetry.sdk.trace import Span as SdkSpan

_MOST: Final = 16
"""The number of spans that are remembered: others than these are long before the call, or around many calls."""

_started: ContextVar[tuple[weakref.ref[SdkSpan], ...]] = ContextVar("agentcost_open_spans", default=())
"""The last one first."""


def remember(span: SdkSpan) -> None:
    """Remember `span` of other code, which has just started in this context."""
    _started.set((weakref.ref(span), *[each for each in _started.get() if _open(each) is not None][: _MOST - 1]))


def latest() -> Iterator[SdkSpan]:
    """Yield the open spans of other code that have started in this context, the last one first."""
    for reference in _started.get():
        span = _open(reference)
        if span is not None:
            yield span


def _open(reference: weakref.ref[SdkSpan]) -> SdkSpan | None:
    span = reference()
    return span if span is not None and span.is_recording() else None
