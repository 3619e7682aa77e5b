"""llama-index: `Workflow.run` starts every agent and workflow in the background, and returns a handler of its result.

An agent is a workflow that can take a step. In a workflow of several agents, the one that takes steps runs inside the
run of the workflow until another one does.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, TurnPatch
from otel_agentcost.integrations.patching import Target

_AGENTS = "llama_index.core.agent.workflow"


def _run(workflow: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    if hasattr(workflow, "take_step"):
        return _acting(workflow, args, kwargs)
    return Agent(name=type(workflow).__name__, workflow=True, key=id(workflow))


def _acting(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    return Agent(name=agent.name, description=agent.description, key=id(agent))


def _same(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A tool is called by the agent that took the last step."""
    del instance, args, kwargs


def _step(module: str, owner: str) -> TurnPatch:
    target = Target(module=f"{_AGENTS}.{module}", owner=owner, method="take_step")
    return TurnPatch(target=target, read_agent=_acting)


FRAMEWORK = AgentFramework(
    name="llama-index",
    title="LlamaIndex",
    distribution="llama-index-core",
    oldest="0.13.0",
    runs="`run` of an agent; a workflow is a workflow, and each of its agents a run inside",
    patches=(
        AgentPatch(  # since 0.13
            target=Target(module="workflows.workflow", owner="Workflow", method="run", optional=True),
            read_agent=_run,
            kind="future",
        ),
        AgentPatch(  # before 0.13
            target=Target(module="llama_index.core.workflow.workflow", owner="Workflow", method="run", optional=True),
            read_agent=_run,
            kind="future",
        ),
        _step("function_agent", "FunctionAgent"),
        _step("react_agent", "ReActAgent"),
        _step("codeact_agent", "CodeActAgent"),
        TurnPatch(
            target=Target(module=f"{_AGENTS}.multi_agent_workflow", owner="AgentWorkflow", method="_call_tool"),
            read_agent=_same,
        ),
    ),
)
