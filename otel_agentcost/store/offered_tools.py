"""The tools that a request offers to its model: their names, and how large their definitions are.

They are found by what the formats of all providers have in common, without the format: a list of objects with a name.
Tools of the provider (a web search) are left out, because no call of theirs is recorded as one of a tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

PLACES: Final = frozenset({"tools", "functions", "toolConfig", "config"})
"""The fields of a request that may have tools."""

Definitions = tuple[tuple[str, int], ...]
"""The names of tools, and the characters of their definitions as JSON."""

_OWN: Final = (None, "function", "custom")
"""The types of tools that the application runs."""

_LISTS: Final = ("functionDeclarations", "function_declarations")
_MOST: Final = 1_000
"""Tools of a request that are read, and characters of a name."""


def definitions(fields: Mapping[str, Any], size: Callable[[object], int]) -> Definitions:
    """Return the tools of a request.

    Args:
        fields: The body of the request.
        size: Returns the characters of a definition.
    """
    found: list[tuple[str, int]] = []
    for place in sorted(PLACES):
        value = fields.get(place)
        within = _field(value, "tools") if place in ("toolConfig", "config") else value
        for name, definition in _each(within):
            found.append((name[:_MOST], size(definition)))
            if len(found) >= _MOST:
                return tuple(found)
    return tuple(found)


def _each(tools: object) -> Iterator[tuple[str, object]]:
    if not isinstance(tools, (list, tuple)):
        return
    for tool in cast("list[object]", tools):
        declared = next((value for name in _LISTS if (value := _field(tool, name)) is not None), None)
        if declared is not None:
            yield from _each(declared)
        elif _field(tool, "type") in _OWN:
            inner = next((value for name in ("function", "toolSpec", "custom") if (value := _field(tool, name))), tool)
            name = _field(inner, "name")
            if isinstance(name, str) and name:
                yield name, tool


def _field(value: object, name: str) -> object:
    """Return a field of an object of a request: of a mapping, or of a model of an SDK."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(name)
    return getattr(value, name, None)
