"""The releases of packages that the tests of their integrations have run with.

Each integration declares the oldest one. `tested.json` has those that the tests ran with last, oldest and newest, and
what passed or failed there (tests/proofs.py). A newer release may well work; `agentcost doctor` says whether its shape
is the one that is patched.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Table = dict[str, dict[str, dict[str, bool]]]
"""Distribution to release to kind of call; True if its tests passed."""


@cache
def table() -> Table:
    """Return what the tests found."""
    found: Table = json.loads((Path(__file__).parent / "tested.json").read_text(encoding="utf-8"))
    return found


def passed(distribution: str) -> list[str]:
    """Return the tested releases of a distribution in which no test failed, in their order."""
    found = table().get(distribution, {})
    return sorted((each for each, cells in found.items() if cells and all(cells.values())), key=release)


def releases(distribution: str, oldest: str) -> str:
    """Return the tested releases for people, as "1.66 to 3.57"; empty if none is known."""
    last = next(reversed(passed(distribution)), "")
    if oldest and last:
        return f"{oldest} to {last}"
    return f"since {oldest}" if oldest else last


def installed(distribution: str) -> str:
    """Return the installed release, as it is written; empty if there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def release(written: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparison; () if there are none."""
    found = re.match(r"\d+(?:\.\d+)*", written)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
