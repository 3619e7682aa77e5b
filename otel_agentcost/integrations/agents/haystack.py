"""haystack: `run` and `run_async` of the component `Agent`, and of a pipeline, which is a workflow.

An agent of haystack has no name. In a pipeline, it has that of its component.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, Kind
from otel_agentcost.integrations.patching import Target


def _agent(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    return Agent(name=getattr(agent, "__component_name__", None) or "Agent", key=id(agent))


def _pipeline(pipeline: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    metadata: Any = getattr(pipeline, "metadata", None) or {}
    return Agent(name=str(metadata.get("name") or type(pipeline).__name__), workflow=True, key=id(pipeline))


_AGENT = "haystack.components.agents.agent"
_PIPELINE = "haystack.core.pipeline.pipeline"


def _patch(module: str, owner: str, method: str, kind: Kind) -> AgentPatch:
    target = Target(module=module, owner=owner, method=method, optional=True)
    return AgentPatch(target=target, read_agent=_agent if owner == "Agent" else _pipeline, kind=kind)


FRAMEWORK = AgentFramework(
    name="haystack",
    title="Haystack",
    distribution="haystack-ai",
    oldest="3.4.1",
    runs="`run` and `run_async` of `Agent`; a pipeline is a workflow, and its component names the agent",
    refusal="`BudgetExceeded`; from a pipeline a `PipelineRuntimeError` whose `__cause__` it is",
    patches=(
        _patch(_AGENT, "Agent", "run", "function"),
        _patch(_AGENT, "Agent", "run_async", "coroutine"),
        _patch(_PIPELINE, "Pipeline", "run", "function"),
        _patch(_PIPELINE, "Pipeline", "run_async_generator", "async generator"),
        _patch("haystack.core.pipeline.async_pipeline", "AsyncPipeline", "run_async_generator", "async generator"),
    ),
)
