"""The releases of packages that the tests of their integrations have run with.

Each integration declares the oldest one. `tested.json` has those that the tests ran with last, oldest and newest, and
what passed there (tests/proofs.py). A newer release may well work; `agentcost doctor` says whether its shape is the one
that is patched.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def table() -> dict[str, dict[str, list[str]]]:
    """Return what passed, as distribution to release to the names of the kinds of calls."""
    text = (Path(__file__).parent / "tested.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, list[str]]] = json.loads(text)
    return found


@cache
def newest() -> dict[str, str]:
    """Return the newest tested release of each distribution, of those in which anything passed."""
    passed = {name: [each for each, cells in releases.items() if cells] for name, releases in table().items()}
    return {name: max(releases, key=release) for name, releases in passed.items() if releases}


def releases(distribution: str, oldest: str) -> str:
    """Return the tested releases for people, as "1.66 to 3.57"; empty if none is known."""
    last = newest().get(distribution, "")
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
