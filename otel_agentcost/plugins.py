"""Plug-ins: SDKs, tool frameworks, wire formats and ledgers that other distributions bring.

A distribution names them in its metadata as entry points, one group for each kind:

    [project.entry-points."otel_agentcost.sdks"]
    acme = "agentcost_acme"          # a module that has the constant SDK, or "module:object"

`docs/extending.md` has an example of each kind. Entry points are read once in a process. A plug-in that cannot be
used is logged once, in one sentence, and ignored: neither the application nor another plug-in is affected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, TypeVar

from otel_agentcost.diagnostics import report, warn_once

__all__ = ["PREFIX", "Schemes", "Unusable", "entry_points", "find", "listed", "load", "scheme_of"]

PREFIX = "otel_agentcost."
"""The beginning of the names of all groups."""

_T = TypeVar("_T")


class Unusable(Exception):
    """An entry point names an object that is no plug-in of its group; the text says why."""


def listed(package: str, path: Iterable[str], constant: str) -> Iterator[Any]:
    """Yield the `constant` of each module in a folder of this package, in the order of the modules' names.

    Args:
        package: The dotted name of the folder.
        path: Its `__path__`.
        constant: The name of the constant. Modules whose name begins with an underscore have none.
    """
    for module in iter_modules(path):
        if not module.name.startswith("_"):
            yield getattr(import_module(f"{package}.{module.name}"), constant)


def find(group: str, kind: type[_T], constant: str, check: Callable[[_T], object]) -> Iterator[_T]:
    """Yield every plug-in of `group` that can be used, in the order of the entry points' names.

    Args:
        group: The name of the group after `PREFIX`: `sdks` or `tools`, for example.
        kind: The type that a plug-in must have.
        constant: The name of the plug-in in a module, for entry points that name a module.
        check: Raises if a plug-in cannot be used.

    """
    for entry in entry_points(group):
        plugin = _usable(entry, kind, constant, check)
        if plugin is not None:
            yield plugin


def _usable(entry: EntryPoint, kind: type[_T], constant: str, check: Callable[[_T], object]) -> _T | None:
    try:
        plugin = load(entry, constant)
        if isinstance(plugin, kind):
            check(plugin)
            return plugin
        reason = f"{entry.value} is of type {type(plugin).__name__}, not {kind.__name__}"
    except Unusable as error:
        reason = str(error)
    except (Exception, SystemExit) as error:  # a module may do anything while it is imported
        reason = f"{type(error).__name__}: {str(error)[:300]}"
    origin = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    warn_once(
        f"plug-in {entry.group} {entry.name}",
        f"otel-agentcost: the plug-in {entry.name!r}{origin} (entry point {entry.group}) is ignored: {reason}",
    )
    return None


def load(entry: EntryPoint, constant: str) -> Any:
    """Import the object that `entry` names, or the `constant` of the module that it names.

    Args:
        entry: An entry point of one of the groups.
        constant: The name of the plug-in in a module.

    Returns:
        The plug-in. Its type has not been checked.

    Raises:
        Unusable: The module has no such constant.
        Exception: The import failed.

    """
    plugin = entry.load()
    if not isinstance(plugin, ModuleType):
        return plugin
    if not hasattr(plugin, constant):
        raise Unusable(f"the module {entry.value} has no constant {constant}")
    return getattr(plugin, constant)


def scheme_of(url: str) -> str:
    """Return the scheme of `url` in lower case; an empty string if it has none."""
    scheme, separator, _ = url.strip().partition("://")
    return scheme.lower() if separator else ""


class Schemes:
    """The URL schemes of ledgers, or of another kind: the modules of a folder, and entry points of others.

    A scheme is looked up without importing what it names. The metadata of the installed distributions is read only for
    a scheme that is not built in.
    """

    def __init__(self, group: str, folder: Path) -> None:
        """Create the object.

        Args:
            group: The entry-point group, after `PREFIX`. The name of an entry point is the scheme of its URLs.
            folder: The folder of this package whose modules are the built-in schemes.
        """
        self._group = group
        self._folder = folder

    @cached_property
    def built_in(self) -> tuple[str, ...]:
        """The schemes of this package."""
        found = iter_modules([str(self._folder)])
        return tuple(sorted(module.name for module in found if not module.name.startswith("_")))

    def entry_point(self, scheme: str) -> EntryPoint | None:
        """Return the entry point of another distribution for a scheme."""
        if not scheme:
            return None
        return next((entry for entry in entry_points(self._group) if entry.name.lower() == scheme), None)

    def is_known(self, scheme: str) -> bool:
        """Return True if a scheme names something."""
        return scheme in self.built_in or self.entry_point(scheme) is not None

    def hint(self) -> str:
        """Word which schemes there are, to complete a sentence about an unknown one."""
        others = {entry.name.lower() for entry in entry_points(self._group)}
        schemes = ", ".join([*self.built_in, *sorted(others.difference(self.built_in))])
        return f"write memory://, sqlite:///path/to/file or redis://host:port/db (the schemes are {schemes})"


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of the group `PREFIX + group`, sorted by name; they are read once in a process."""
    return tuple(entry for entry in _installed() if entry.group == PREFIX + group)


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """Read the entry points of all our groups.

    `importlib.metadata.entry_points` parses those of every distribution, which takes three to six times as long: few
    distributions have such an entry point, and their text is enough. The first of a name wins, as on the import path.
    """
    found: dict[tuple[str, str], EntryPoint] = {}
    for distribution in distributions():
        for entry in _entry_points_of(distribution):
            found.setdefault((entry.group, entry.name), entry)
    return tuple(found[key] for key in sorted(found))


def _entry_points_of(distribution: Distribution) -> list[EntryPoint]:
    try:
        if PREFIX in (distribution.read_text("entry_points.txt") or ""):
            return [entry for entry in distribution.entry_points if entry.group.startswith(PREFIX)]
    except Exception as error:  # a damaged distribution hides its own plug-ins only
        report("reading the entry points of an installed distribution", error)
    return []
