"""Parts of JSON that may be missing: nothing is then an empty part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def inner(given: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """The object at the end of `path`."""
    found: Any = given
    for name in path:
        found = found.get(name) or {}
    return dict(found)


def items(given: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects of that name."""
    return list(given.get(name) or ())
