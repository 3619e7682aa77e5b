"""The frameworks whose tools are watched: one module each, which says where a tool is called and what the call says.

A module of this folder whose name has no leading underscore is a framework; it has a constant `FRAMEWORK`. They are
found by listing the folder. Other distributions add theirs by entry points of the group `otel_agentcost.tools`, each
of which names a `Framework` or a module with the constant `FRAMEWORK`. None of them imports the framework that it is
about.

`docs/extending.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from otel_agentcost import plugins
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import FailurePatch, Framework, ToolPatch, ToolRequest, ToolResponse

__all__ = ["FailurePatch", "Framework", "Target", "ToolPatch", "ToolRequest", "ToolResponse", "discover"]


def discover() -> Iterator[Framework]:
    """Yield every framework of this folder, then those of plug-ins. One that cannot be used is logged and ignored."""
    names: set[str] = set()
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            framework: Framework = import_module(f"{__name__}.{module.name}").FRAMEWORK
            names.add(framework.name)
            yield framework
    yield from plugins.find("tools", Framework, "FRAMEWORK", partial(_check, names))


def _check(names: set[str], framework: Framework) -> None:
    """Raise where starting would fail, or tools would be counted twice, if `framework` were patched."""
    if framework.name in names:
        raise plugins.Unusable(f"there is a framework with the name {framework.name!r} already")
    for patch in cast("Iterable[object]", framework.patches):  # in a plug-in they may be anything
        if not isinstance(patch, ToolPatch | FailurePatch):
            raise plugins.Unusable(f"its patches include {patch!r}, which is neither a ToolPatch nor a FailurePatch")
    names.add(framework.name)
