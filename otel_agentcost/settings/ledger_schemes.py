"""The URL schemes of ledgers: the modules of `guard/ledger`, and the entry points of other distributions.

A scheme is looked up without importing its ledger. The metadata of the installed distributions is read only for a
scheme that is not built in.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import iter_modules

from otel_agentcost import plugins

GROUP = "ledgers"
"""The entry-point group of ledgers, after `plugins.PREFIX`. The name of an entry point is the scheme of its URLs."""

_FOLDER = Path(__file__).parent.parent / "guard" / "ledger"


def scheme_of(url: str) -> str:
    """Return the scheme of `url` in lower case; an empty string if it has none."""
    scheme, separator, _ = url.strip().partition("://")
    return scheme.lower() if separator else ""


@cache
def built_in() -> tuple[str, ...]:
    """Return the schemes of the ledgers of this package."""
    return tuple(sorted(module.name for module in iter_modules([str(_FOLDER)]) if not module.name.startswith("_")))


def entry_point(scheme: str) -> EntryPoint | None:
    """Return the entry point of a ledger of another distribution."""
    if not scheme:
        return None
    return next((entry for entry in plugins.entry_points(GROUP) if entry.name.lower() == scheme), None)


def is_known(scheme: str) -> bool:
    """Return True if there is a ledger for `scheme`."""
    return scheme in built_in() or entry_point(scheme) is not None


def hint() -> str:
    """Word which ledgers there are, to complete a sentence about an unknown one."""
    others = {entry.name.lower() for entry in plugins.entry_points(GROUP)}
    schemes = ", ".join([*built_in(), *sorted(others.difference(built_in()))])
    return f"write memory://, sqlite:///path/to/file or redis://host:port/db (the schemes are {schemes})"
