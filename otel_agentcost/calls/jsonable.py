"""Convert arguments and results of tools to JSON text of a limited length, without side effects on them.

Only plain data is read: numbers, strings, containers, the fields of dataclasses and of pydantic models. Any other
object is replaced by the name of its type, and `Plain.opaque` is set, because two such objects may differ. Called by
`tool_call.py`.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from otel_agentcost.diagnostics import reraise_foreign

MAX_CHARACTERS: Final = 65_536
"""The approximate number of characters that are read of a value: bigger values would slow tools and spans down."""
_NODE: Final = 8
"""The approximate overhead of a value in characters."""
_MAX_DEPTH: Final = 24
_SIMPLE = (Decimal, date, time, timedelta, PurePath, UUID)


class Plain(NamedTuple):
    """A value as text."""

    text: str
    opaque: bool
    """True if an object was replaced by the name of its type."""
    cut: bool
    """True if a part of the value was left out."""


def plain(value: Any, limit: int = MAX_CHARACTERS) -> Plain:
    """Return a string as it is, and any other value as JSON. Never raises.

    Args:
        value: The value.
        limit: The approximate number of characters to read.
    """
    if type(value) is str:
        return Plain(_unicode(value[:limit]), opaque=False, cut=len(value) > limit)
    reader = _Reader(limit)
    try:
        text = json.dumps(reader.read(value, 0), ensure_ascii=False)
    except Exception as error:  # reading an object of the application raised
        reraise_foreign(error)
        return Plain(f"<{type(value).__name__}>", opaque=True, cut=False)
    return Plain(_unicode(text), opaque=reader.opaque, cut=reader.cut)


def _unicode(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


class _Reader:
    """Reads one value up to the limit."""

    def __init__(self, limit: int) -> None:
        self._remaining = limit
        self.opaque = False
        self.cut = False

    def read(self, value: Any, depth: int) -> Any:
        """Return `value` converted to types that `json` supports."""
        self._remaining -= _NODE
        if isinstance(value, enum.Enum):
            value = value.value
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            # Python refuses to convert a number with thousands of digits to decimal text.
            return value if abs(value) < 2**64 else self._text(f"{value:#x}")
        if isinstance(value, (str, *_SIMPLE)):
            return self._text(str(value))
        if depth >= _MAX_DEPTH:
            self.cut = True
            return "..."
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, (set, frozenset)):
            members = [self.read(member, depth + 1) for member in self._up_to_limit(cast("set[Any]", value))]
            return sorted(members, key=repr)
        if isinstance(value, (list, tuple)):
            return [self.read(item, depth + 1) for item in self._up_to_limit(cast("list[Any]", value))]
        fields = _fields(value)
        if fields is not None:
            return self._mapping(fields, depth)
        self.opaque = True
        return f"<{type(value).__name__}>"

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {self._text(str(key)): self.read(value[key], depth + 1) for key in self._up_to_limit(value)}

    def _up_to_limit(self, items: Any) -> Any:
        """Yield items until the limit is reached."""
        for item in items:
            if self._remaining <= 0:
                self.cut = True
                return
            yield item

    def _text(self, text: str) -> str:
        remaining = max(self._remaining, 0)
        self._remaining -= len(text)
        if len(text) > remaining:
            self.cut = True
            return text[:remaining]
        return text


def _fields(value: object) -> Mapping[str, Any] | None:
    """Return the fields of a dataclass or a pydantic model by name; None for any other object."""
    kind: type = type(value)
    of_pydantic = isinstance(getattr(kind, "model_fields", None), Mapping)
    if dataclasses.is_dataclass(kind):
        # `__dict__` first: attribute access on a database row may start a query.
        stored: Mapping[str, Any] = getattr(value, "__dict__", {})
        fields = dataclasses.fields(kind)
        return {each.name: stored[each.name] if stored else getattr(value, each.name) for each in fields}
    if of_pydantic:
        return cast("Mapping[str, Any]", vars(value))
    return None
