"""Compute the similarity of two texts, with rapidfuzz if it is installed (extra `loops`), else with difflib.

rapidfuzz takes 35 ms to import and about 1 us for a comparison. difflib is in the standard library and takes more than
100 us, so it compares the beginning of the texts only. Called by `loop_guard.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from otel_agentcost.diagnostics import reraise_foreign

Similarity = Callable[[str, str], float]

_SHORT: Final = 160
"""The number of characters that difflib compares: its time is quadratic."""


@cache
def function() -> Similarity:
    """Return the function that compares two texts. It returns 0 (different) to 1 (equal). May import rapidfuzz."""
    try:
        from rapidfuzz import fuzz  # noqa: PLC0415 (an extra)
    except Exception as error:  # not installed, or not for this Python
        reraise_foreign(error)
        return by_difflib
    ratio = fuzz.ratio

    def by_rapidfuzz(one: str, other: str) -> float:
        return ratio(one, other) / 100

    return by_rapidfuzz


def compared(one: str, other: str) -> float:
    """Return the similarity of two texts, 0 to 1. The first call may import rapidfuzz."""
    return function()(one, other)


def by_difflib(one: str, other: str) -> float:
    """Return the similarity of the beginnings of two texts, 0 to 1, with difflib."""
    from difflib import SequenceMatcher  # noqa: PLC0415 (needed only without rapidfuzz)

    matcher = SequenceMatcher(None, one[:_SHORT], other[:_SHORT], autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() > 0.5 else 0.0
