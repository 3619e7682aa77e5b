"""The URL schemes of stores of caches: the modules of `savings/stores`, and the entry points of other distributions.

A scheme is looked up without importing its store. The metadata of the installed distributions is read only for a scheme
that is not built in.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from otel_agentcost import plugins

GROUP: Final = "cache_stores"
"""The entry-point group of stores, after `plugins.PREFIX`. The name of an entry point is the scheme of its URLs."""

_FOLDER: Final = Path(__file__).parent.parent / "savings" / "stores"


@cache
def built_in() -> tuple[str, ...]:
    """Return the schemes of the stores of this package."""
    return tuple(sorted(module.name for module in iter_modules([str(_FOLDER)]) if not module.name.startswith("_")))


def entry_point(scheme: str) -> EntryPoint | None:
    """Return the entry point of a store of another distribution."""
    if not scheme:
        return None
    return next((entry for entry in plugins.entry_points(GROUP) if entry.name.lower() == scheme), None)


def is_known(scheme: str) -> bool:
    """Return True if there is a store for `scheme`."""
    return scheme in built_in() or entry_point(scheme) is not None


def hint() -> str:
    """Word which stores there are, to complete a sentence about an unknown one."""
    others = {entry.name.lower() for entry in plugins.entry_points(GROUP)}
    schemes = ", ".join([*built_in(), *sorted(others.difference(built_in()))])
    return f"write memory://, sqlite:///path/to/file or redis://host:port/db (the schemes are {schemes})"
