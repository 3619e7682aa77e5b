"""Every package with an integration, found by listing the folders, and the self-check of those that are installed.

    python -m otel_agentcost.integrations.inventory sdks:openai tools:mcp

imports these packages and prints what cannot be patched, a line of JSON for each. `agentcost doctor` starts it in a
process of its own: an import can take seconds, start threads, or end the process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

from otel_agentcost.integrations.targets import Target

MARK = "agentcost-self-check "
"""Begins each line of the results. Packages may print other lines."""


class Package(NamedTuple):
    """One integration: a package, and the targets in it."""

    kind: str
    """The folder of the integration: `sdks`, `tools`, `agents`, `http`."""
    distribution: str
    oldest: str
    targets: tuple[Target, ...]

    @property
    def key(self) -> str:
        """Identifies the integration."""
        return f"{self.kind}:{self.distribution}"


def packages() -> Iterator[Package]:
    """Yield the packages of all folders that have integrations, plug-ins included."""
    for folder in iter_modules([str(Path(__file__).parent)]):
        discover = getattr(import_module(f"{__package__}.{folder.name}"), "discover", None) if folder.ispkg else None
        for each in discover() if discover is not None else ():
            patches: tuple[Any, ...] | None = getattr(each, "sends", getattr(each, "patches", None))
            if patches is None:  # a unit of work, which calls no models
                continue
            targets = tuple(getattr(patch, "checked", patch.target) for patch in patches)
            yield Package(folder.name, each.distribution, each.oldest, targets)


def identity(target: Target) -> str:
    """Return the text that identifies a target in the results."""
    method = target.method if isinstance(target.method, str) else target.method.__qualname__
    return f"{target.module}:{target.owner}:{method}"


def faults(package: Package) -> Iterator[tuple[str, str]]:
    """Yield the targets that cannot be patched, and why. Imports their modules."""
    for target in package.targets:
        try:
            fault = target.fault(import_module(target.module))
        except Exception as error:  # a package may fail in any way at import
            if not target.optional:
                yield identity(target), f"{target.module} ({type(error).__name__}: {error}) cannot be imported"
            continue
        if fault is not None and fault.counts:
            yield identity(target), fault.text


def main(keys: list[str]) -> None:
    """Print the results of the packages with these keys, in their order."""
    known = {package.key: package for package in packages()}
    for key in keys:
        found = dict(faults(known[key])) if key in known else {}
        sys.stdout.write(f"\n{MARK}{json.dumps([key, found])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
