"""The agent frameworks, one module each: the methods that run an agent, and how to read its name and conversation.

Each module of this folder without a leading underscore in its name is a framework and has a constant `FRAMEWORK`.
`discover` lists the folder. Other distributions add frameworks by entry points of the group `otel_agentcost.agents`; an
entry point names an `AgentFramework`, or a module with the constant `FRAMEWORK`. No module imports its framework.

`docs/extending.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import cast, get_args

from otel_agentcost import plugins
from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, Kind, OwnPatch, StepPatch, TurnPatch
from otel_agentcost.integrations.patching import Target

__all__ = ["Agent", "AgentFramework", "AgentPatch", "OwnPatch", "StepPatch", "Target", "TurnPatch", "discover"]


def discover() -> Iterator[AgentFramework]:
    """Yield the frameworks of this folder, then those of plug-ins. An unusable plug-in is logged and ignored."""
    own: list[AgentFramework] = list(plugins.listed(__name__, __path__, "FRAMEWORK"))
    yield from own
    names = {framework.name for framework in own}
    yield from plugins.find("agents", AgentFramework, "FRAMEWORK", partial(_check, names))


def _check(names: set[str], framework: AgentFramework) -> None:
    """Raise `Unusable` if patching `framework` would fail, or would open a second span for each run."""
    if framework.name in names:
        raise plugins.Unusable(f"there is a framework with the name {framework.name!r} already")
    for patch in cast("Iterable[object]", framework.patches):  # in a plug-in they may be anything
        if not isinstance(patch, AgentPatch | TurnPatch | StepPatch | OwnPatch):
            raise plugins.Unusable(
                f"its patches include {patch!r}, which is no AgentPatch, TurnPatch, StepPatch or OwnPatch"
            )
        if isinstance(patch, AgentPatch) and patch.kind not in get_args(Kind):
            raise plugins.Unusable(
                f"the kind {patch.kind!r} of one of its patches is none of {', '.join(get_args(Kind))}"
            )
    names.add(framework.name)
