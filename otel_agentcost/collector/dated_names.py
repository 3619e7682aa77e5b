"""Names with a date at their end (`claude-sonnet-4-5-20250929`), which a table can list without knowing their dates.

Patterns of the price book match most of them. If all dates after a stem are matched by the same pattern, the table
lists the stem: a Collector then finds such a name without trying the patterns. Where the date decides, the patterns
remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["DATE", "MARK", "dated_stems"]

DATE: Final = "-[0-9]{8}$"
"""The end of a name with a date."""
MARK: Final = "\t8"
"""What a table has in the place of a date: no name has a tab."""

_DIGITS: Final = 8


def dated_stems(rules: Mapping[str, Sequence[Any]], names: Sequence[str]) -> dict[str, str]:
    """Return the key of the first rule that matches all names of a stem, a dash and eight digits, by stem.

    Args:
        rules: The patterns by key, in the order in which they are tried.
        names: Names that may be stems.
    """
    literals = {one for patterns in rules.values() for pattern in patterns for one in _literals(pattern)}
    stems = sorted({name.rstrip("-") for name in (*names, *literals)} - {""})
    return {stem: key for stem in stems if (key := _first(rules, stem)) is not None}


def _first(rules: Mapping[str, Sequence[Any]], stem: str) -> str | None:
    for key, patterns in rules.items():
        found = _any(_matches(pattern, stem) for pattern in patterns)
        if found is not False:
            return key if found else None
    return None


def _literals(pattern: Any) -> Iterator[str]:
    if isinstance(pattern, str):
        yield pattern
        return
    ((verb, wanted),) = pattern.items()
    if verb in {"and", "or"}:
        for part in wanted:
            yield from _literals(part)
    elif verb in {"starts_with", "contains"}:
        yield wanted


def _matches(pattern: Any, stem: str) -> bool | None:
    """Return whether a pattern matches all dated names of a stem (True) or none (False); None if that is not known."""
    start = f"{stem}-"
    if isinstance(pattern, str):
        return _unless(re.fullmatch(re.escape(start) + f"[0-9]{{{_DIGITS}}}", pattern))
    ((verb, wanted),) = pattern.items()
    if verb == "or":
        return _any(_matches(part, stem) for part in wanted)
    if verb == "and":
        known = [_matches(part, stem) for part in wanted]
        return False if False in known else None if None in known else True
    if verb == "regex":
        return True if wanted == f"^{re.escape(stem)}-\\d{{8}}$".replace(r"\-", "-") else None
    return _matches_text(verb, wanted, start)


def _matches_text(verb: str, wanted: str, start: str) -> bool | None:
    if verb == "starts_with":
        return start.startswith(wanted) or _unless(wanted.startswith(start) and wanted[len(start) :].isdecimal())
    if verb in {"contains", "ends_with"}:
        digits = len(wanted) - len(wanted.rstrip("0123456789"))
        overlaps = any(start.endswith(wanted[: len(wanted) - count]) for count in range(1, digits + 1))
        return (verb == "contains" and wanted in start) or _unless(overlaps)
    return None


def _unless(depends: object) -> bool | None:
    return None if depends else False


def _any(known: Iterator[bool | None]) -> bool | None:
    """Return the disjunction in three-valued logic."""
    found = list(known)
    return True if True in found else None if None in found else False
