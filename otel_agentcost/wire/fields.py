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

__all__ = [
    "MAX_COUNT",
    "Malformed",
    "count",
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
"""No call uses more of anything. Above it, a number that went through floating point is no longer itself."""


class Malformed(Exception):
    """A field holds something it cannot hold; the text quotes both. Caught in this package, never seen outside."""


def get(value: Any, name: str) -> Any:
    """The field `name` of a JSON object or an SDK object; None where there is no such field, or no object."""
    if type(value) is dict:
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] (no cast: hot)
    if isinstance(value, dict):
        return value.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    try:
        return getattr(value, name, None)
    except Exception:  # an object of the application's, whose attributes fail, is an object without them
        return None


def fields(value: Any) -> Any:
    """The fields of an SDK object as a dict, where they can be had as one: many look-ups are then ten times as fast
    (a field that a pydantic object does not have costs it two microseconds). Anything else is returned as it is.
    """
    if type(value) is dict:
        return value  # pyright: ignore[reportUnknownVariableType]
    try:
        known, more = value.__dict__, getattr(value, "__pydantic_extra__", None)
    except Exception:  # no object with fields
        return value
    if type(known) is not dict:
        return value
    return {**known, **more} if isinstance(more, dict) and more else known  # pyright: ignore[reportUnknownVariableType]


def quote(value: object) -> str:
    """A short form of `value` for an explanation."""
    try:
        return f"{value!r:.80}"
    except Exception:  # a repr that fails (or an integer too long to print) still has a type
        return f"a value of type {type(value).__name__}"


def count(value: Any, name: str) -> int:
    """The count in the field `name`: 0 where it is absent or null.

    Raises `Malformed` for what is not a count: negative numbers, fractions, text, booleans, and more than `MAX_COUNT`.
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
    """The measured amount (seconds) in the field `name`; None where it is absent or null. Raises `Malformed`."""
    number = get(value, name)
    if number is None:
        return None
    if type(number) in (int, float) and 0 <= number <= MAX_COUNT:
        return Decimal(repr(number))
    raise Malformed(f"{name} is {quote(number)}, which is not an amount")


def lacks_fields(value: object) -> bool:
    """Whether `value` is a number, a text or a list: something that has no fields."""
    return isinstance(value, (str, bytes, int, float, list, tuple))


def part(value: Any, name: str) -> Any:
    """The object in the field `name`, as its `fields`; None where it is absent or null.

    Raises `Malformed` for what is not an object.
    """
    found = get(value, name)
    if found is None or type(found) is dict:
        return found  # pyright: ignore[reportUnknownVariableType]
    if lacks_fields(found):
        raise Malformed(f"{name} is {quote(found)}, which is not an object")
    return fields(found)


def need(value: Any, *names: str) -> None:
    """Raises `Malformed` unless every one of the fields is there: a usage without them says nothing."""
    for name in names:
        if get(value, name) is None:
            raise Malformed(f"{name} is missing in the usage {quote(value)}")


def text(value: Any, name: str) -> str | None:
    """The text in the field `name`; None where there is none, or where it is empty or not text."""
    found = get(value, name)
    return found if isinstance(found, str) and found else None


def texts(value: Any, *names: str) -> list[str]:
    """The texts in those of the fields that have one."""
    return [found for name in names if (found := text(value, name)) is not None]


def items(value: Any, name: str) -> Sequence[Any]:
    """The elements of the list in the field `name`; nothing where there is no list."""
    found = get(value, name)
    return found if isinstance(found, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)


def parsed(data: bytes | str) -> Any:
    """The JSON value in `data`; None where there is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
