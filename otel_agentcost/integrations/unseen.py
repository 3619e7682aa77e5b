"""Packages that call models and have no patch of their own, for `agentcost doctor` and docs/usage.md.

The table is `unseen_clients.json`: the distribution, what it calls, why its calls are not seen, the instrumentations
whose spans of it are counted (`integrations/spans`), and where the package is described. `http/packages.json` names
those whose requests the HTTP clients see.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


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
    over_http: str
    """`priced` or `unpriced` if its requests are seen by the HTTP clients (`integrations/http`); else empty."""


def clients() -> tuple[Client, ...]:
    """Return the table."""
    rows = _table("unseen_clients.json")
    seen = {name: how for how, names in _table("http/packages.json").items() for name in names}
    return tuple(
        Client(row["distribution"], row["calls"], row["why"], tuple(row["spans"]), seen.get(row["distribution"], ""))
        for row in rows
    )


def _table(file: str) -> Any:
    return json.loads((Path(__file__).parent / file).read_text(encoding="utf-8"))
