"""The definition of a setting: a field of `Settings` with the metadata of its row in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting, as a row of the table."""

    field: str
    """The field of `Settings`, the key in a settings file, and the name of the argument."""
    variable: str
    """The environment variable."""
    parse: Callable[[object], object]
    """Parses a value as it was written, or returns a parsed one. Raises `InvalidValue`."""
    values: str
    """The possible values, in Markdown."""
    default: str
    """The default, in Markdown; an empty string for none."""
    meaning: str
    """A sentence, in Markdown."""
    budget: bool
    """True if a user who sets it wants a budget to be enforced."""
    show: Callable[[Any], str]
    """Formats a parsed value for `agentcost doctor`."""
    effect: Callable[[Any], str] | None
    """Words what a parsed value means for calls with a budget, for `agentcost doctor`; an empty string for nothing."""


def setting(
    default: T,
    parse: Callable[[object], T],
    *,
    values: str,
    meaning: str,
    budget: bool = False,
    show: Callable[[Any], str] = str,
    effect: Callable[[Any], str] | None = None,
) -> T:
    """Define a field of `Settings` with its row of the table. `Row` describes the arguments."""
    row = {
        "parse": parse,
        "values": values,
        "meaning": meaning,
        "budget": budget,
        "show": show,
        "effect": effect,
    }
    return field(default_factory=lambda: default, metadata=row)
