"""The rules of providers for their prompt caches: the least tokens, lifetimes and markers, from `rules.json`.

The file names its sources, and the day on which they were read. A provider that it does not name has no rule: then
nothing is said about its prompts.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

LIFETIME: Final = 300.0
"""Seconds for which a prefix is kept where no rule says it."""


class Rule(NamedTuple):
    """The rule for one model."""

    least: int | None
    """Input tokens below which nothing is cached; None if that is not published."""
    lifetime: float
    """Seconds for which a prefix is kept at least, if the request says nothing else."""
    marked: bool
    """True if nothing is cached without a mark in the request."""
    markers: int | None
    """The most marks of one request; None if there is no such limit."""
    lookback: int | None
    """Blocks before a mark among which an earlier one is looked for; None if there is no such limit."""
    long: bool
    """True if a longer lifetime can be bought."""
    named: bool = False
    """True if the provider names the model among those that it caches, where it does not cache all of its kind."""


_NONE: Final = Rule(None, LIFETIME, marked=False, markers=None, lookback=None, long=False)


@lru_cache(maxsize=512)
def rule(provider: str, model: str | None) -> Rule | None:
    """Return the rule for a model; None if there is none.

    Args:
        provider: `gen_ai.provider.name`.
        model: The model.
    """
    name = (model or "").lower()
    for row in _rows():
        if provider in row["providers"] and re.search(row["models"], name):
            return Rule(
                row.get("least"),
                float(row.get("lifetime", LIFETIME)),
                marked=row.get("marked", False),
                markers=row.get("markers"),
                lookback=row.get("lookback"),
                long=row.get("long", False),
                named=row.get("named", False),
            )
    return None


def lifetime(provider: str, model: str | None) -> float:
    """Return the seconds for which a prefix is kept, if the request says nothing else."""
    return (rule(provider, model) or _NONE).lifetime


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("rules.json").read_text(encoding="utf-8"))
    return found


def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _file()["rules"]
    return rows


def as_of() -> str:
    """Return the day on which the sources were read."""
    return str(_file()["as_of"])
