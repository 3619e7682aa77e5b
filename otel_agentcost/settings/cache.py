"""Parsers of the settings of caches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, cast

from otel_agentcost.core import hints
from otel_agentcost.settings.parsers import InvalidValue, Items, quoted

Caching = Literal["exact", "semantic-shadow"]
CACHES: Final = ("exact", "semantic-shadow")
Sampling = Literal["deterministic", "unset", "any"]

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LONGEST: Final = 366 * 86_400


def to_caches(value: object) -> tuple[str, ...]:
    """Parse which answers are cached: `off`, or names joined by `,`."""
    if value is False:  # YAML's `off`
        return ()
    found = Items()
    names: list[str] = []
    for name in _listed(value):
        with found.item():
            word = name.lower()
            if word not in (*CACHES, "off"):
                raise InvalidValue(f"where {quoted(name)} is neither off nor {' nor '.join(CACHES)}{_near(word)}")
            names += [word] if word != "off" else []
    with found.item():
        if names and "exact" not in names:
            alone = names.pop()
            names.clear()
            raise InvalidValue(f"where {alone} needs exact: write exact,{alone}")
    return found.checked(tuple(dict.fromkeys(names)))


def _near(word: str) -> str:
    return hints.near(word, (*CACHES, "off"))


NOBODY: Final = frozenset({""})
"""Matches no name: an empty set would match all."""


def to_names(value: object) -> frozenset[str]:
    """Parse names joined by `,`. If none of them is one, the result matches no name."""
    items = Items()
    names: set[str] = set()
    if value == NOBODY:
        return NOBODY
    listed = _listed(value)
    for name in listed:
        with items.item():
            if not re.search(r"\w", name):
                raise InvalidValue(f"where {quoted(name)} is no name")
            names.add(name)
    return items.checked(frozenset(names) or (NOBODY if listed else frozenset()))


def to_duration(value: object) -> float:
    """Parse a time: seconds, or a number with `s`, `m`, `h` or `d`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value).lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found and not isinstance(value, bool) else 0.0
    if not 0 < seconds <= _LONGEST:
        raise InvalidValue("which is not a time of at most a year: write seconds, or for example 15m, 1h or 7d")
    return seconds


def to_size(value: object) -> int:
    """Parse a size in bytes: a number, or one with `k`, `m` or `g`, as in `64m`."""
    found = re.fullmatch(r"\s*(\d+)\s*([kmg]?)(?:i?b)?\s*", str(value).lower())
    size = int(found[1]) * _SIZES[found[2]] if found and not isinstance(value, bool) else 0
    if size < 1 << 16:
        raise InvalidValue("which is not a size of at least 64k: write bytes, or for example 64m or 1g")
    return size


def _listed(value: object) -> list[str]:
    listed = isinstance(value, (list, tuple, set, frozenset))
    names = cast("Iterable[object]", value) if listed else str(value).split(",")
    return [word for name in names if (word := str(name).strip())]
