"""How alike two texts are, by rapidfuzz where it is installed (the `loops` extra), else by the standard library.

The one place that knows either. rapidfuzz takes 35 ms to import and a microsecond a comparison; difflib is there
already and takes some hundred, which is why it is given less to compare. Called by `looping`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

Similarity = Callable[[str, str], float]

_SHORT: Final = 160
"""Characters that difflib is given: it is quadratic."""


@cache
def function() -> Similarity:
    """The function that compares two texts: 0 to 1. Imports what it needs; ask for it before the first call."""
    try:
        from rapidfuzz import fuzz  # noqa: PLC0415 (an extra)
    except Exception:  # not installed, or not for this Python
        return by_difflib
    ratio = fuzz.ratio

    def by_rapidfuzz(one: str, other: str) -> float:
        return ratio(one, other) / 100

    return by_rapidfuzz


def compared(one: str, other: str) -> float:
    """How alike they are. What it takes to tell is imported when two texts are compared for the first time."""
    return function()(one, other)


def by_difflib(one: str, other: str) -> float:
    """The same with what every Python has."""
    from difflib import SequenceMatcher  # noqa: PLC0415 (where it is needed)

    matcher = SequenceMatcher(None, one[:_SHORT], other[:_SHORT], autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() > 0.5 else 0.0
