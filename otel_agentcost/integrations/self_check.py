"""Check the targets of a package when its modules are imported, and say in one log line what cannot be patched.

A package of another shape runs as without this package: what cannot be patched is left as it is. `agentcost doctor`
makes the same check in a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from otel_agentcost.diagnostics import warn_once
from otel_agentcost.integrations import tested
from otel_agentcost.integrations.targets import Target


class SelfCheck:
    """The check of the targets of one package."""

    def __init__(
        self,
        targets: tuple[Target, ...],
        distribution: str = "",
        oldest: str = "",
        calls: str = "calls",
        *,
        since_oldest: bool = False,
    ) -> None:
        """Create the check.

        Args:
            targets: The targets of the package.
            distribution: The name of the package on PyPI. Default: the name of the module of the first target.
            oldest: The oldest release that the tests cover.
            calls: The calls that pass through the targets, for people: "its model calls".
            since_oldest: True if releases before `oldest` make no such calls, so that nothing is missing there.
        """
        self._targets = targets
        self._distribution = distribution or targets[0].module.partition(".")[0]
        self._oldest = oldest
        self._calls = calls
        self._since_oldest = since_oldest
        self._said: set[str] = set()

    def passed(self, target: Target, module: Any) -> bool:
        """Return True if `target` can be patched in `module`, with those that belong to it. Else log why not."""
        faults = [fault for each in self._with(target) if (fault := each.fault(module))]
        if any(fault.counts for fault in faults):
            self._say(module)
        return not faults

    def _with(self, target: Target) -> Iterator[Target]:
        yield target
        if target.together:
            yield from (each for each in self._targets if each is not target and each.together == target.together)

    def look_for(self, target: Target) -> None:
        """Log that the module of `target` does not exist, now that the package around it is imported."""
        if target.optional or target.module in sys.modules:
            return
        try:
            missing = find_spec(target.module) is None
        except (ImportError, ValueError):  # the package around it is none, or a module without a spec
            missing = True
        if missing:
            self._warn([f"{target.module} does not exist"], sys.modules.get(target.module.rpartition(".")[0]))

    def _say(self, module: Any) -> None:
        """Log the faults of all targets in the loaded modules, so that one line has them all."""
        loaded = ((target, sys.modules.get(target.module)) for target in self._targets)
        faults = (target.fault(found) for target, found in loaded if found is not None)
        self._warn([fault.text for fault in faults if fault is not None and fault.counts], module)

    def _warn(self, faults: list[str], module: Any) -> None:
        new = [fault for fault in dict.fromkeys(faults) if fault not in self._said]
        self._said.update(new)
        installed = tested.installed(self._distribution)
        if not new or (self._since_oldest and tested.release(installed) < tested.release(self._oldest)):
            return
        file = getattr(module, "__file__", None)
        package = " ".join(part for part in (self._distribution, installed, f"({file})" if file else "") if part)
        releases = tested.releases(self._distribution, self._oldest)
        remedy = f"a tested release ({releases}), or a newer otel-agentcost" if releases else "a newer otel-agentcost"
        warn_once(
            f"self-check of {self._distribution}: {new}",
            f"otel-agentcost: {package} is not as otel-agentcost expects it: {'; '.join(new)}. It is left as it is and "
            f"works, but {self._calls} through this are not measured here: no span, no cost, no budget. "
            f"Install {remedy}. `agentcost doctor` lists what is measured",
        )
