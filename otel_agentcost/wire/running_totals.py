"""The usage of a stream that reports it more than once: running totals, of which the last ones count.

Totals never shrink. So zeros take nothing back, nor does a usage that lacks a count or details of an earlier one.
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.wire.fields import fields

__all__ = ["later", "loses"]

_NOTHING: Final = (None, 0)


def loses(before: Any, after: Any) -> bool:
    """Return True if a usage lacks a count, or details, that an earlier one has."""
    first, last = fields(before), fields(after)
    if type(first) is not dict or type(last) is not dict:
        return False
    known: dict[str, Any] = first  # pyright: ignore[reportUnknownVariableType] (no cast: hot)
    return any(last.get(name) in _NOTHING for name, value in known.items() if value)  # pyright: ignore[reportUnknownMemberType]


def later(before: Any, after: Any) -> Any:
    """Return a usage with what an earlier one has besides."""
    first, last = fields(before), fields(after)
    if type(first) is not dict or type(last) is not dict:
        return after
    known: dict[str, Any] = first  # pyright: ignore[reportUnknownVariableType]
    new: dict[str, Any] = last  # pyright: ignore[reportUnknownVariableType]
    return {**known, **{name: number for name, number in new.items() if number or not known.get(name)}}
