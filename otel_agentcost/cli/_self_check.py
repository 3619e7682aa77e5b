"""The self-check of the installed packages, in a process of its own, for `agentcost doctor`.

A package that ends the process, or does not finish, is named, and the others are checked without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property

from otel_agentcost.integrations import inventory, tested
from otel_agentcost.integrations.inventory import Package
from otel_agentcost.integrations.targets import Target

SECONDS = 120.0
"""How long the imports of the packages may take, all together."""


class SelfChecks:
    """The results of one report."""

    def __init__(self, *, imports: bool) -> None:
        """Create them. Nothing is imported before the first question, and nothing at all unless `imports`."""
        self.imports = imports

    def faults(self, targets: Iterable[Target]) -> list[str]:
        """Return why targets cannot be patched: clauses, empty if all can be."""
        if not self.imports:
            return []
        keys = dict.fromkeys(map(inventory.identity, targets))
        return list(dict.fromkeys(self._results[key] for key in keys if key in self._results))

    @cached_property
    def _results(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        left = [package for package in inventory.packages() if _has_to_be_checked(package)]
        while left:
            done, end = _run(left)
            for key, faults in done.items():
                found.update(faults)
                left = [package for package in left if package.key != key]
            if left and end:  # the next one ended the process
                text = f"importing it {end}"
                found.update({inventory.identity(target): text for target in left.pop(0).targets})
        return found


def _has_to_be_checked(package: Package) -> bool:
    release = tested.installed(package.distribution)
    return bool(release) and tested.release(release) >= tested.release(package.oldest)


def _run(packages: list[Package]) -> tuple[dict[str, dict[str, str]], str]:
    """Return the faults of the packages by their keys, as far as the process came, and how it ended."""
    command = [sys.executable, "-m", inventory.__name__, *(package.key for package in packages)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OTEL_SDK_DISABLED": "true",
        "OTEL_AGENTCOST_ENABLED": "false",
    }
    try:
        run = subprocess.run(  # noqa: S603 (names of packages that this process has listed)
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
        output, end = run.stdout, f"ends the process (exit code {run.returncode})"
    except subprocess.TimeoutExpired as expired:
        output, end = expired.stdout or b"", f"takes longer than {SECONDS:g} s"
    lines = output.decode("utf-8", "replace").splitlines()
    results = (json.loads(line.removeprefix(inventory.MARK)) for line in lines if line.startswith(inventory.MARK))
    return dict(results), end
