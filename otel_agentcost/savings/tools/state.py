"""The state of objects of plain classes: dataclasses, models of pydantic, named tuples, and members of enums.

An object counts as such only if its class is found under its name, and if it has nothing that its state does not show.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from otel_agentcost.savings.tools.code import is_itself

__all__ = ["MOMENTS", "SIMPLE", "is_bounded", "is_member", "is_named_tuple", "state_of", "zone_is_plain"]

SIMPLE: Final = (Decimal, date, timedelta, timezone, UUID)
"""Types that their `repr` tells in full."""
MOMENTS: Final = (datetime, time)
"""The same, if their time zone is one of the library's."""
_ATOMS: Final = frozenset({bool, float, type(None), *SIMPLE})
_ITEMS: Final = frozenset({list, tuple, set, frozenset})
_DEEPEST: Final = 32
_EACH: Final = 8
"""The bytes that each value counts for at least."""
_COPYING: Final = (
    "__copy__", "__deepcopy__", "__getnewargs__", "__getnewargs_ex__", "__getstate__", "__reduce__", "__reduce_ex__",
    "__setstate__",
)  # fmt: skip
"""Methods by which a class may leave out something of its objects, or do anything, when they are copied."""
_LIBRARIES: Final = ("builtins", "collections", "dataclasses", "enum", "pydantic")


def zone_is_plain(value: Any) -> bool:
    """Return True if the time zone of a `datetime` or `time` is known by its `repr`."""
    zone = value.tzinfo
    return zone is None or type(zone) is timezone or (type(zone) is ZoneInfo and getattr(zone, "key", None) is not None)


def is_member(value: Any) -> bool:
    """Return True for a member of an enum that is found under its name."""
    kind = _kind_of(value)
    return issubclass(kind, Enum) and is_itself(kind) and _copies_all(kind)


def is_named_tuple(value: Any) -> bool:
    """Return True for a named tuple that is nothing else."""
    kind = _kind_of(value)
    if kind.__bases__ != (tuple,) or not hasattr(kind, "_fields") or hasattr(value, "__dict__"):
        return False
    return is_itself(kind) and _copies_all(kind)


def state_of(value: Any) -> dict[str, Any] | None:
    """Return all that a dataclass or a model of pydantic has, by name; None for other objects."""
    kind = _kind_of(value)
    bases = kind.__mro__
    known = hasattr(kind, "__dataclass_fields__") or any(map(_is_pydantic, bases))
    if not known or _maker_of(kind) is not _maker_of(object) or not is_itself(kind) or not _copies_all(kind):
        return None
    state: dict[str, Any] = dict(object.__getattribute__(value, "__dict__") if kind.__dictoffset__ else {})
    for base in bases:
        for name, member in vars(base).items():
            if isinstance(member, types.MemberDescriptorType):  # a slot
                try:
                    state[f"{base.__qualname__}.{name}"] = member.__get__(value, kind)
                except AttributeError:  # it is not set
                    continue
    return state


def _kind_of(value: object) -> type:
    return type(value)


def _maker_of(kind: type) -> object:
    return getattr(kind, "__new__")  # noqa: B009 (its type is unlike that of others)


def _is_pydantic(base: type) -> bool:
    return base.__name__ == "BaseModel" and base.__module__ in ("pydantic.main", "pydantic.v1.main")


def _copies_all(kind: type) -> bool:
    """Return True if the class has no own way of being copied."""
    methods = (getattr(kind, name, None) for name in _COPYING)
    return all(str(getattr(each, "__module__", None) or "builtins").split(".")[0] in _LIBRARIES for each in methods)


def is_bounded(result: Any, most: int) -> bool:
    """Return True if a copy of `result` is the same to the application, and takes no more than about `most` bytes.

    That is so for plain values, and for containers, named tuples, dataclasses and models of pydantic of such.
    """
    left = most
    for size in _sizes(result, 0, most):
        left -= size
        if left < 0:
            return False
    return True


def _sizes(value: Any, depth: int, most: int) -> Iterator[int]:
    """Yield the least sizes of a value and all in it; more than `most` if it is not to be kept."""
    kind = _kind_of(value)
    if kind is str or kind is bytes:
        yield len(value) + _EACH
    elif kind in _ATOMS:
        yield _EACH
    elif kind is int:
        yield value.bit_length() // 8 + _EACH
    elif depth > _DEEPEST:
        yield most + 1
    elif kind in _ITEMS or kind is dict:
        yield len(value) * _EACH  # before the first: of a long list, nothing is read
        for each in value:
            yield from _sizes(each, depth + 1, most)
            if kind is dict:
                yield from _sizes(value[each], depth + 1, most)
    else:
        yield from _sizes_of_object(value, depth, most)


def _sizes_of_object(value: Any, depth: int, most: int) -> Iterator[int]:
    kind = _kind_of(value)
    if (kind in MOMENTS and zone_is_plain(value)) or is_member(value):
        yield _EACH
    elif issubclass(kind, type):
        yield _EACH if is_itself(value) else most + 1
    elif is_named_tuple(value):
        yield from _sizes(tuple(value), depth, most)
    else:
        state = state_of(value)
        yield from (most + 1,) if state is None else _sizes(state, depth + 1, most)
