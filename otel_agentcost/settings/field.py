"""What a setting is: one row of the table that `settings.py` holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting, as the table has it."""

    field: str
    """The field of `Settings`, the name in a settings file, and the name of the argument."""
    variable: str
    """The environment variable."""
    parse: Callable[[object], object]
    values: str
    """What may be written, for people, in Markdown."""
    default: str
    """What holds where nothing is written, for people, in Markdown."""
    meaning: str
    budget: bool
    """Whether whoever sets it means to have a budget."""


def setting(default: T, parse: Callable[[object], T], *, values: str, meaning: str, budget: bool = False) -> T:
    """A field of `Settings` with its row of the table."""
    row = {"parse": parse, "values": values, "meaning": meaning, "budget": budget}
    return field(default_factory=lambda: default, metadata=row)
