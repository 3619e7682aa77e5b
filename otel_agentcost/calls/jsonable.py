"""What tools are called with and bring back, as JSON text: short, within bounds, and never a surprise for its owner.

Of objects only plain data is read: numbers, texts, containers, the fields of dataclasses and of pydantic models.
Anything else is named by its type, and `Plain.opaque` says so: two such objects may differ. Called by `toolcalls.py`.
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

ROOM: Final = 65_536
"""Characters, about, that are read of a value: a span is no place for megabytes, and no tool is to wait for them."""
_NODE: Final = 8
"""Characters that a value takes beside its own, about."""
_DEEPEST: Final = 24
_SIMPLE = (Decimal, date, time, timedelta, PurePath, UUID)


class Plain(NamedTuple):
    """A value as text."""

    text: str
    opaque: bool
    """Whether something in it is only named."""
    cut: bool
    """Whether something of it is left out."""


def plain(value: Any, room: int = ROOM) -> Plain:
    """`value` as JSON, and a text as it is; at most about `room` characters of it. Never raises."""
    if type(value) is str:
        return Plain(_unicode(value[:room]), opaque=False, cut=len(value) > room)
    reader = _Reader(room)
    try:
        text = json.dumps(reader.read(value, 0), ensure_ascii=False)
    except Exception:  # an object of the application's that raises when it is looked at
        return Plain(f"<{type(value).__name__}>", opaque=True, cut=False)
    return Plain(_unicode(text), opaque=reader.opaque, cut=reader.cut)


def _unicode(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


class _Reader:
    """Reads one value, until the room is used up."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.opaque = False
        self.cut = False

    def read(self, value: Any, depth: int) -> Any:
        """`value` in types that `json` knows."""
        self._room -= _NODE
        if isinstance(value, enum.Enum):
            value = value.value
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            # Of a number with thousands of digits, Python makes no decimal text.
            return value if abs(value) < 2**64 else self._text(f"{value:#x}")
        if isinstance(value, (str, *_SIMPLE)):
            return self._text(str(value))
        if depth >= _DEEPEST:
            self.cut = True
            return "..."
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, (set, frozenset)):
            members = [self.read(member, depth + 1) for member in self._within(cast("set[Any]", value))]
            return sorted(members, key=repr)
        if isinstance(value, (list, tuple)):
            return [self.read(item, depth + 1) for item in self._within(cast("list[Any]", value))]
        fields = _fields(value)
        if fields is not None:
            return self._mapping(fields, depth)
        self.opaque = True
        return f"<{type(value).__name__}>"

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {self._text(str(key)): self.read(value[key], depth + 1) for key in self._within(value)}

    def _within(self, items: Any) -> Any:
        """The items for which there is room."""
        for item in items:
            if self._room <= 0:
                self.cut = True
                return
            yield item

    def _text(self, text: str) -> str:
        room = max(self._room, 0)
        self._room -= len(text)
        if len(text) > room:
            self.cut = True
            return text[:room]
        return text


def _fields(value: object) -> Mapping[str, Any] | None:
    """What an object says of itself: the fields of a dataclass or a pydantic model; None for any other."""
    kind: type = type(value)
    of_pydantic = isinstance(getattr(kind, "model_fields", None), Mapping)
    if dataclasses.is_dataclass(kind):
        # Not by attribute where it can be helped: those of a database's rows may be fetched only then.
        held: Mapping[str, Any] = getattr(value, "__dict__", {})
        fields = dataclasses.fields(kind)
        return {each.name: held[each.name] if held else getattr(value, each.name) for each in fields}
    if of_pydantic:
        return cast("Mapping[str, Any]", vars(value))
    return None
