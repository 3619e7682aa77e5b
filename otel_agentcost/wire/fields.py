"""Read fields of JSON values and of SDK objects alike.

The same response reaches a wire format as JSON (raw responses, google-genai) and as a parsed object (openai,
anthropic), so the readers below accept dicts and SDK objects. A field with a value of the wrong type counts as absent.
A token count that is not a count raises `Malformed`, which every format turns into an `Answer` with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from otel_agentcost.diagnostics import reraise_foreign

__all__ = [
    "MAX_COUNT",
    "Malformed",
    "count",
    "entries",
    "fields",
    "get",
    "items",
    "lacks_fields",
    "measure",
    "need",
    "parsed",
    "part",
    "quote",
    "text",
    "texts",
]

MAX_COUNT = 2**53
"""The highest count that is accepted. Above it, floating point no longer represents every integer."""


class Malformed(Exception):
    """A field holds an invalid value; the text quotes both. The package catches it, applications never see it."""


def get(value: Any, name: str) -> Any:
    """Return the field `name` of a JSON object or an SDK object; None without such a field, or without an object."""
    if type(value) is dict:
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    if isinstance(value, dict):
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    try:
        return getattr(value, name, None)
    except Exception as error:  # an object of the application whose attributes raise counts as an object without them
        reraise_foreign(error)
        return None


def fields(value: Any) -> Any:
    """Return the fields of an SDK object as a dict; any other value unchanged.

    Many look-ups are then ten times as fast: a missing field costs a pydantic object two microseconds.
    """
    if type(value) is dict:
        return value  # pyright: ignore[reportUnknownVariableType]
    if value is None:  # a field that is missing, as most are
        return None
    try:
        known, more = value.__dict__, getattr(value, "__pydantic_extra__", None)
    except Exception as error:  # no object with fields
        reraise_foreign(error)
        return value
    if type(known) is not dict:
        return value
    return {**known, **more} if isinstance(more, dict) and more else known  # pyright: ignore[reportUnknownVariableType]


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
    number = get(value, name)
    if type(number) is int and 0 <= number <= MAX_COUNT:
        return number
    if number is None:
        return 0
    if type(number) is float and 0 <= number <= MAX_COUNT and number.is_integer():
        return int(number)
    raise Malformed(f"{name} is {quote(number)}, which is not a count")


def measure(value: Any, name: str) -> Decimal | None:
    """Return the measured amount (seconds) in the field `name`; None if absent or null. Raises `Malformed`."""
    number = get(value, name)
    if number is None:
        return None
    if type(number) in (int, float) and 0 <= number <= MAX_COUNT:
        return Decimal(repr(number))
    raise Malformed(f"{name} is {quote(number)}, which is not an amount")


def lacks_fields(value: object) -> bool:
    """Return True if `value` is a number, a text or a list: a value without fields."""
    return isinstance(value, (str, bytes, int, float, list, tuple))


def part(value: Any, name: str) -> Any:
    """Return the `fields` of the object in the field `name`; None if it is absent or null.

    Raises:
        Malformed: The value is no object.
    """
    inner = get(value, name)
    if inner is None or type(inner) is dict:
        return inner  # pyright: ignore[reportUnknownVariableType]
    if lacks_fields(inner):
        raise Malformed(f"{name} is {quote(inner)}, which is not an object")
    return fields(inner)


def need(value: Any, *names: str) -> None:
    """Raise `Malformed` unless the usage has every one of the fields."""
    for name in names:
        if get(value, name) is None:
            raise Malformed(f"{name} is missing in the usage {quote(value)}")


def text(value: Any, name: str) -> str | None:
    """Return the text in the field `name`; None if it is absent, empty or not text."""
    words = get(value, name)
    return words if isinstance(words, str) and words else None


def texts(value: Any, *names: str) -> list[str]:
    """Return the texts in those of the fields that have one."""
    return [words for name in names if (words := text(value, name)) is not None]


def items(value: Any, name: str) -> Sequence[Any]:
    """Return the elements of the list in the field `name`; nothing if there is no list."""
    elements = get(value, name)
    return elements if isinstance(elements, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


def parsed(data: bytes | str) -> Any:
    """Return the JSON value in `data`; None if it is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
