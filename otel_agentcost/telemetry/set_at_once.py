"""Set many attributes on a span at once.

The SDK cleans and stores each attribute by itself: as much work as the span. The attributes of a call are clean,
because this package makes them. `set_at_once` checks that in one step and stores them in another. That takes private
parts of the SDK, so `_comparison` sets attributes both ways first and compares the spans. Where those differ, where an
attribute is not clean, and where a limit may apply, the attributes go the public way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span

from otel_agentcost.core.call import AttributeValue
from otel_agentcost.diagnostics import logger, reraise_foreign

_CLEAN = frozenset({str, bool, int, float})
_NAMES = frozenset({str})
_IS_TUPLE = tuple.__instancecheck__


def set_at_once(span: Span, attributes: Mapping[str, AttributeValue]) -> None:
    """Do what `span.set_attributes(attributes)` does."""
    if type(span) is not _known_kind() or not _stored(span, attributes):
        span.set_attributes(attributes)


def _stored(span: Any, attributes: Mapping[str, AttributeValue]) -> bool:
    """Store clean attributes that are new and fit in. Returns False, and stores none, for all others."""
    if not _are_clean(attributes):
        return False
    bounded = span._attributes
    most, stored = bounded.maxlen, bounded._dict
    with span._lock, bounded._lock:
        if (
            bounded.max_value_len is not None
            or (most is not None and len(stored) + len(attributes) > most)
            or not stored.keys().isdisjoint(attributes)  # a changed attribute becomes the newest one
            or span._end_time is not None
        ):
            return False
        stored.update(attributes)
    return True


def _are_clean(attributes: Mapping[str, AttributeValue]) -> bool:
    kinds = {*map(type, attributes.values())}
    if tuple in kinds:
        kinds.remove(tuple)
        tuples: Iterable[Any] = filter(_IS_TUPLE, attributes.values())
        kinds.update(map(type, chain.from_iterable(tuples)))
    return kinds <= _CLEAN and _NAMES.issuperset(map(type, attributes)) and "" not in attributes


# --- The comparison with the public way ---


@cache
def _known_kind() -> type[Any] | None:
    """Return the class of the spans on which both ways do the same; None if this SDK is built in another way."""
    try:
        return _comparison()
    except Exception as error:  # private parts of another release may be missing
        reraise_foreign(error)
        logger.debug("otel-agentcost: attributes are set the public, slower way (%r)", error)
        return None


def _comparison() -> type[Any] | None:
    """Set the same attributes in both ways, and some that must go the public way. Returns the spans' class if so."""
    new: dict[str, AttributeValue] = {"b": 1, "c": 0.5, "d": ("x",), "e": True, "f": "long"}
    public, quick, ended = (_span(SpanLimits()) for _ in range(3))
    ended.end()
    public.set_attributes(new)
    if not _stored(quick, new) or list(quick.attributes.items()) != list(public.attributes.items()):
        return None
    limited = (_span(SpanLimits(max_attributes=4)), _span(SpanLimits(max_attribute_length=3)))
    refusals = [_stored(span, new) for span in (*limited, ended)]
    return None if any(refusals) or _stored(quick, {"first": "changed"}) else public.__class__


def _span(limits: SpanLimits) -> Any:
    provider = TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False, span_limits=limits)
    return provider.get_tracer("otel_agentcost.comparison").start_span("span", attributes={"first": "a"})
