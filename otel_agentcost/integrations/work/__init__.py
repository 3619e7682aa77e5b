"""The units of work, one module each: they count as traces where no span is open (`calls.work`).

Each module of this folder without a leading underscore in its name is a library and has a constant `UNIT`. `discover`
lists the folder. No module imports its library.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost import plugins
from otel_agentcost.integrations.patching import Patch
from otel_agentcost.integrations.work._base import UnitOfWork, patch

__all__ = ["UnitOfWork", "discover", "patches"]


def discover() -> Iterator[UnitOfWork]:
    """Yield the units of this folder."""
    yield from plugins.listed(__name__, __path__, "UNIT")


def patches() -> tuple[Patch, ...]:
    """Return the patches to install."""
    return tuple(patch(unit.name, entry) for unit in discover() for entry in unit.entries)
