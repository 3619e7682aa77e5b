"""Optional parts of JSON objects: a missing part counts as empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def nested(given: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """Return a copy of the object at the end of `path`."""
    value: Any = given
    for name in path:
        value = value.get(name) or {}
    return dict(value)


def items(given: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the list of objects under `name`."""
    return list(given.get(name) or ())
