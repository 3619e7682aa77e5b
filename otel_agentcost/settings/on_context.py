"""The hook for long histories, as a setting names it: `module:function`, with options after commas, or `native`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from otel_agentcost.core import hints
from otel_agentcost.settings.parsers import InvalidValue, quoted

NATIVE: Final = "native"
"""The value for the context management of the providers themselves."""
_TARGET: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_OPTIONS: Final = ("least", "growth", "seconds")


class OnContext(NamedTuple):
    """A hook by its name, with the options that are set."""

    target: str
    """`module:function`, or `native`."""
    options: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        """Return the value as it is written in the environment."""
        return ",".join([self.target, *(f"{name}={value:g}" for name, value in self.options)])


def to_on_context(value: object) -> OnContext:
    """Parse the name of a hook."""
    if isinstance(value, OnContext):
        return value
    target, *rest = (part.strip() for part in str(value).split(","))
    if target.lower() == NATIVE:
        target = NATIVE
    elif not _TARGET.fullmatch(target):
        raise InvalidValue("which names no function: write package.module:function, or native")
    return OnContext(target, tuple(_option(part) for part in rest if part))


def _option(part: str) -> tuple[str, float]:
    name, _, written = part.partition("=")
    name = name.strip().lower()
    if name not in _OPTIONS:
        raise InvalidValue(f"where {quoted(name)} is none of {', '.join(_OPTIONS)}{hints.near(name, _OPTIONS)}")
    try:
        number = float(written)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise InvalidValue(f"where {name} is {quoted(written)}, which is no number above 0")
    return name, number
