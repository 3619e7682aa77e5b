"""The request parameters that the GenAI conventions know, read from a request body by a table of its format.

A table says for a field of the body which span attribute it is and of what type. Whatever has another type (an
SDK's "not given" object, null, nonsense) is absent. This runs on every call: one dict look-up a field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.wire.fields import get

Reader = Callable[[Any], AttributeValue | None]
Table = Mapping[str, tuple[str, Reader]]


def number(value: Any) -> float | None:
    """A double: the conventions' type of temperature and the like, even where the caller wrote 0 or 1."""
    return float(value) if type(value) in (float, int) and -1e300 < value < 1e300 else None


def integer(value: Any) -> int | None:
    """A whole number that fits an attribute."""
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def whole(value: Any) -> int | None:
    """A whole number, also where it is written as a float (`topK: 40.0`)."""
    return int(value) if type(value) is float and value.is_integer() else integer(value)


def string(value: Any) -> str | None:
    """A text, not empty; an enumeration's member is its value."""
    if isinstance(value, str):
        return str(getattr(value, "value", value)) or None
    return None


def strings(value: Any) -> tuple[str, ...] | None:
    """A list of texts; one text is a list of one."""
    if isinstance(value, str):
        return (value,) if value else None
    if isinstance(value, (list, tuple)):
        return tuple(text for text in value if isinstance(text, str)) or None  # pyright: ignore[reportUnknownVariableType]
    return None


def several(value: Any) -> int | None:
    """A number of answers: the conventions want it only where it is not one."""
    return value if type(value) is int and 1 < value < 2**31 else None


def yes(value: Any) -> bool | None:
    """True; the conventions want `stream` only where it is."""
    return True if value is True else None


def tier(value: Any) -> str | None:
    """A service tier that was asked for; "auto" asks for none."""
    return None if value == "auto" else string(value)


def field(name: str, reader: Reader = string) -> Reader:
    """The value of a field of an object (`reasoning.effort`)."""
    return lambda value: reader(get(value, name))


def read(body: Any, table: Table) -> dict[str, AttributeValue]:
    """The attributes of all known fields of `body`."""
    found: dict[str, AttributeValue] = {}
    if type(body) is not dict and not isinstance(body, Mapping):
        return found
    for name, given in body.items():  # pyright: ignore[reportUnknownVariableType]
        if given is not None and (known := table.get(name)) is not None:  # pyright: ignore[reportUnknownArgumentType]
            attribute, reader = known
            value = reader(given)
            if value is not None:
                found[attribute] = value
    return found


def limit(parameters: Mapping[str, AttributeValue]) -> int | None:
    """The output limit among the attributes."""
    value = parameters.get(semconv.REQUEST_MAX_TOKENS)
    return value if isinstance(value, int) and value >= 0 else None


__all__ = [
    "Reader",
    "Table",
    "field",
    "integer",
    "limit",
    "number",
    "read",
    "several",
    "string",
    "strings",
    "tier",
    "whole",
    "yes",
]
