"""Packages that call models and are not seen: named by `agentcost doctor` and docs/usage.md, from one table.

The table is `unseen_clients.json`: the distribution, what it calls, why its calls are not seen, the instrumentations
whose spans of it are counted (`integrations/spans`), and where the package is described.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Client(NamedTuple):
    """A package that calls models."""

    distribution: str
    """Its name on PyPI."""
    calls: str
    """What it calls, for people."""
    why: str
    """Why its calls are not seen: a clause."""
    spans: tuple[str, ...]
    """The distributions of instrumentations of it. With one of them its calls are counted, from their spans."""


def clients() -> tuple[Client, ...]:
    """Return the table."""
    rows = json.loads((Path(__file__).parent / "unseen_clients.json").read_text(encoding="utf-8"))
    return tuple(Client(row["distribution"], row["calls"], row["why"], tuple(row["spans"])) for row in rows)
