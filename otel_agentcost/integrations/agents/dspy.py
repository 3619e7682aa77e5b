"""dspy: `__call__` and `acall` of a module run every program. Modules that let a model call tools are agents.

A class of the application is a workflow. The other modules of DSPy (`Predict`, `ChainOfThought` ...) are model calls.
"""

# Objects of frameworks have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, Kind
from otel_agentcost.integrations.patching import Target

_AGENTS = ("ReAct", "ReActV2", "CodeAct", "Avatar", "RLM")
"""The modules that call tools, with their classes derived by the application."""


def _agent(module: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent | None:
    kind = type(module)
    agents = [each.__name__ for each in kind.__mro__ if each.__name__ in _AGENTS and _is_of_dspy(each)]
    if _is_of_dspy(kind) and not agents:
        return None
    # The official instrumentation names each agent by DSPy's class.
    others = frozenset(f"dspy.{name}" for name in agents)
    return Agent(name=kind.__name__, workflow=not agents, key=id(module), other_names=others)


def _is_of_dspy(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "dspy"


def _patch(method: str, kind: Kind) -> AgentPatch:
    target = Target(module="dspy.primitives.module", owner="Module", method=method)
    return AgentPatch(target=target, read_agent=_agent, kind=kind)


FRAMEWORK = AgentFramework(
    name="dspy",
    title="DSPy",
    distribution="dspy",
    oldest="3.0.0",
    runs="a call of `ReAct`, `ReActV2`, `CodeAct` or `RLM`, or of a class of yours derived from one, which names it; "
    "any other module of yours is a workflow",
    patches=(
        _patch("__call__", "function"),
        _patch("acall", "coroutine"),
    ),
)
