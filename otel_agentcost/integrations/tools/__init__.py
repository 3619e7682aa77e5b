"""The tool frameworks, one module each: the methods through which a framework calls tools, and how to read a call.

Each module of this folder without a leading underscore in its name is a framework and has a constant `FRAMEWORK`.
`discover` lists the folder. Other distributions add frameworks by entry points of the group `otel_agentcost.tools`; an
entry point names a `Framework`, or a module with the constant `FRAMEWORK`. No module imports its framework.

`docs/extending.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import cast

from otel_agentcost import plugins
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import (
    FailurePatch,
    Framework,
    Keeps,
    ListPatch,
    ToolPatch,
    ToolRequest,
    ToolResponse,
)

__all__ = [
    "FailurePatch",
    "Framework",
    "Keeps",
    "ListPatch",
    "Target",
    "ToolPatch",
    "ToolRequest",
    "ToolResponse",
    "discover",
]


def discover() -> Iterator[Framework]:
    """Yield the frameworks of this folder, then those of plug-ins. An unusable plug-in is logged and ignored."""
    own: list[Framework] = list(plugins.listed(__name__, __path__, "FRAMEWORK"))
    yield from own
    names = {framework.name for framework in own}
    yield from plugins.find("tools", Framework, "FRAMEWORK", partial(_check, names))


def _check(names: set[str], framework: Framework) -> None:
    """Raise `Unusable` if patching `framework` would fail, or would count tool calls twice."""
    if framework.name in names:
        raise plugins.Unusable(f"there is a framework with the name {framework.name!r} already")
    for patch in cast("Iterable[object]", framework.patches):  # in a plug-in they may be anything
        if not isinstance(patch, ToolPatch | FailurePatch | ListPatch):
            raise plugins.Unusable(f"its patches include {patch!r}, which is no ToolPatch, FailurePatch or ListPatch")
    names.add(framework.name)
