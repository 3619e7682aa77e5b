"""Reads the request parameters of the GenAI conventions from a request body, by a table of its format.

A table maps a field of the body to a span attribute and its type. A value of another type (an SDK's "not given" object,
null, nonsense) counts as absent. This runs on every call: one dict look-up per field.
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
    """Return a float, the conventions' type of temperature and others, also for the integers 0 and 1."""
    return float(value) if type(value) in (float, int) and -1e300 < value < 1e300 else None


def integer(value: Any) -> int | None:
    """Return an integer that fits an attribute (64 bits)."""
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def whole(value: Any) -> int | None:
    """Return an integer, also if it is written as a float (`topK: 40.0`)."""
    return int(value) if type(value) is float and value.is_integer() else integer(value)


def string(value: Any) -> str | None:
    """Return a text that is not empty; of an enumeration's member, its value."""
    if isinstance(value, str):
        return str(getattr(value, "value", value)) or None
    return None


def strings(value: Any) -> tuple[str, ...] | None:
    """Return a list of texts; one text is a list of one."""
    if isinstance(value, str):
        return (value,) if value else None
    if isinstance(value, (list, tuple)):
        return tuple(text for text in value if isinstance(text, str)) or None  # pyright: ignore[reportUnknownVariableType]
    return None


def several(value: Any) -> int | None:
    """Return a number of choices; the conventions omit it if it is 1."""
    return value if type(value) is int and 1 < value < 2**31 else None


def yes(value: Any) -> bool | None:
    """Return True; the conventions omit `stream` if it is false."""
    return True if value is True else None


def tier(value: Any) -> str | None:
    """Return the requested service tier; "auto" requests none."""
    return None if value == "auto" else string(value)


def field(name: str, reader: Reader = string) -> Reader:
    """Return a reader for a field of an object (`reasoning.effort`)."""
    return lambda value: reader(get(value, name))


def read(body: Any, table: Table) -> dict[str, AttributeValue]:
    """Return the attributes of all known fields of `body`."""
    attributes: dict[str, AttributeValue] = {}
    if type(body) is not dict and not isinstance(body, Mapping):
        return attributes
    for name, argument in body.items():  # pyright: ignore[reportUnknownVariableType]
        if argument is not None and (known := table.get(name)) is not None:  # pyright: ignore[reportUnknownArgumentType]
            attribute, reader = known
            value = reader(argument)
            if value is not None:
                attributes[attribute] = value
    return attributes


def limit(parameters: Mapping[str, AttributeValue]) -> int | None:
    """Return the output limit among the attributes, in tokens per choice; None without one."""
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
