"""Read fields of JSON values and of SDK objects alike.

The same response reaches a wire format as JSON (raw responses, google-genai) and as a parsed object (openai,
anthropic), so the readers below accept dicts and SDK objects. A field with a value of the wrong type counts as absent.
A token count that is not a count raises `Malformed`, which every format turns into an `Answer` with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from types import MemberDescriptorType
from typing import Any

from otel_agentcost.diagnostics import reraise_foreign

__all__ = [
    "MAX_COUNT",
    "Malformed",
    "blank",
    "count",
    "entries",
    "fields",
    "get",
    "inside",
    "items",
    "lacks",
    "lacks_fields",
    "measure",
    "need",
    "parsed",
    "part",
    "quantity",
    "quote",
    "text",
    "texts",
    "whole",
]

MAX_COUNT = 2**53
"""The highest count that is accepted. Above it, floating point no longer represents every integer."""


_LONGEST = 16
"""Digits of a count that is written as a text."""


class Malformed(Exception):
    """A field holds an invalid value; the text quotes both. The package catches it, applications never see it."""


def get(value: Any, name: str) -> Any:
    """Return the field `name` of a JSON object or an SDK object; None without such a field, or without an object."""
    if isinstance(value, dict):
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    try:
        return getattr(value, name, None)
    except Exception as error:  # an object of the application whose attributes raise counts as an object without them
        reraise_foreign(error)
        return None


_NOT_PYDANTIC = object()
_COMPUTED = (property, MemberDescriptorType)


def fields(value: Any) -> Any:
    """Return the fields of an SDK object as a dict; any other value unchanged.

    Many look-ups are then ten times as fast: a missing field costs a pydantic object two microseconds. An object that
    keeps fields elsewhere than in its `__dict__` (in slots, behind properties) is returned unchanged.
    """
    if type(value) is dict:
        return value  # pyright: ignore[reportUnknownVariableType]
    if value is None:  # a field that is missing, as most are
        return None
    if isinstance(value, dict):  # its `__dict__` need not have the items
        return {**value}  # pyright: ignore[reportUnknownVariableType]
    try:
        if not getattr(value, "__pydantic_extra__", _NOT_PYDANTIC) and type(known := value.__dict__) is dict:
            return known  # pyright: ignore[reportUnknownVariableType] (as of nearly every object of an SDK)
    except Exception as error:  # an object of another library
        reraise_foreign(error)
    return _fields_of_another(value)


def _fields_of_another(value: Any) -> Any:
    """Return the fields of an object that is neither a dict nor an object of pydantic with the usual fields alone."""
    try:
        known = value.__dict__
        more = getattr(value, "__pydantic_extra__", _NOT_PYDANTIC)
        if type(known) is not dict or (more is _NOT_PYDANTIC and not _holds_all(value, known)):  # pyright: ignore[reportUnknownArgumentType]
            return value
        return {**known, **more} if more and isinstance(more, dict) else known  # pyright: ignore[reportUnknownVariableType]
    except Exception as error:  # no object with fields
        reraise_foreign(error)
        return value


def _holds_all(value: Any, known: dict[str, Any]) -> bool:
    """Return True if the `__dict__` of an object has all of its fields: no private name, and no property or slot."""
    return not any(name.startswith("_") for name in known) and not any(
        isinstance(member, _COMPUTED) and not name.startswith("_")
        for kind in type(value).__mro__
        for name, member in vars(kind).items()
    )


def entries(value: Any) -> dict[str, Any]:
    """Return the fields of an object by name; none if the value is no object."""
    inside = fields(value)
    return inside if type(inside) is dict else {}  # pyright: ignore[reportUnknownVariableType]


def quote(value: object) -> str:
    """Return a short form of `value` for an explanation."""
    try:
        return f"{value!r:.80}"
    except Exception as error:  # a repr that fails (or an integer too long to print) still has a type
        reraise_foreign(error)
        return f"a value of type {type(value).__name__}"


def count(value: Any, name: str) -> int:
    """Return the count in the field `name`; 0 if it is absent or null.

    Raises:
        Malformed: The value is not a count: negative, a fraction, text, a boolean, or above `MAX_COUNT`.
    """
    if value is None:
        return 0
    number: Any = value.get(name) if type(value) is dict else get(value, name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    if number is None:
        return 0
    if type(number) is int and 0 <= number <= MAX_COUNT:  # pyright: ignore[reportUnknownArgumentType]
        return number
    if type(number) is float and 0 <= number <= MAX_COUNT and number.is_integer():  # pyright: ignore[reportUnknownArgumentType]
        return int(number)
    raise Malformed(f"{name} is {quote(number)}, which is not a count")  # pyright: ignore[reportUnknownArgumentType]


def measure(value: Any, name: str) -> Decimal | None:
    """Return the measured amount (seconds) in the field `name`; None if absent or null. Raises `Malformed`."""
    number = get(value, name)
    if number is None:
        return None
    if type(number) in (int, float) and 0 <= number <= MAX_COUNT:
        return Decimal(repr(number))
    raise Malformed(f"{name} is {quote(number)}, which is not an amount")


def _is_decimal(value: Any) -> bool:
    """Return True for a text of digits, as which some gateways write counts."""
    return type(value) is str and value.isdecimal() and len(value) < _LONGEST


def whole(name: str, value: Any) -> int:
    """Return the count `value` of the field `name`, which may be a text of digits. Raises `Malformed`."""
    if type(value) in (int, float) and 0 <= value <= MAX_COUNT and int(value) == value:
        return int(value)
    if _is_decimal(value):
        return int(value)
    raise Malformed(f"{name} is {quote(value)}, which is not a count")


def quantity(name: str, value: Any) -> Decimal:
    """Return the measured amount `value` of the field `name`, which may be a text of digits. Raises `Malformed`."""
    if type(value) in (int, float) and 0 <= value <= MAX_COUNT:
        return Decimal(repr(value))
    if _is_decimal(value):
        return Decimal(value)
    if value == {}:  # Mistral writes an empty object for no audio
        return Decimal(0)
    raise Malformed(f"{name} is {quote(value)}, which is not a count")


def lacks(value: Any, names: AbstractSet[str]) -> bool:
    """Return True if a JSON object has none of the fields; False also for an SDK object."""
    return type(value) is dict and names.isdisjoint(value)  # pyright: ignore[reportUnknownArgumentType]


def blank(value: Any, names: Iterable[str]) -> bool:
    """Return True if the fields of a JSON object are absent, null, zero or empty; False also for an SDK object."""
    return type(value) is dict and not any(map(value.get, names))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


_PLAIN = (str, bytes, int, float, list, tuple)


def lacks_fields(value: object) -> bool:
    """Return True if `value` is a number, a text or a list: a value without fields."""
    return isinstance(value, _PLAIN)


def part(value: Any, name: str) -> Any:
    """Return the `fields` of the object in the field `name`; None if it is absent or null.

    Raises:
        Malformed: The value is no object.
    """
    return inside(get(value, name), name)


def inside(value: Any, name: str) -> Any:
    """Return the `fields` of an object; None for None.

    Args:
        value: The object.
        name: The name of the field that has it.

    Raises:
        Malformed: `value` is no object.
    """
    if value is None or type(value) is dict:
        return value  # pyright: ignore[reportUnknownVariableType]
    if lacks_fields(value):
        raise Malformed(f"{name} is {quote(value)}, which is not an object")
    return fields(value)


def need(value: Any, *names: str) -> None:
    """Raise `Malformed` unless the usage has every one of the fields."""
    for name in names:
        if get(value, name) is None:
            raise Malformed(f"{name} is missing in the usage {quote(value)}")


def text(value: Any, name: str) -> str | None:
    """Return the text in the field `name`; None if it is absent, empty or not text."""
    words = value.get(name) if type(value) is dict else get(value, name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    return words if isinstance(words, str) and words else None


def texts(value: Any, *names: str) -> list[str]:
    """Return the texts in those of the fields that have one."""
    return [words for name in names if (words := text(value, name)) is not None]


def items(value: Any, name: str) -> Sequence[Any]:
    """Return the elements of the list in the field `name`; nothing if there is no list."""
    elements = value.get(name) if type(value) is dict else get(value, name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    return elements if isinstance(elements, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


def parsed(data: bytes | str) -> Any:
    """Return the JSON value in `data`; None if it is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
