"""smolagents: `_run_stream` of an agent makes every run, streamed or not. A managed agent runs inside its manager.

OpenInference has a span around `run`, and leaves it open and current if a run that is not streamed fails.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, LeftOpenPatch
from otel_agentcost.integrations.patching import Target


def _agent(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    name = getattr(agent, "name", None) or type(agent).__name__
    return Agent(name=name, description=getattr(agent, "description", None))


FRAMEWORK = AgentFramework(
    name="smolagents",
    title="smolagents",
    distribution="smolagents",
    oldest="1.26.0",
    runs="`run` of an agent, streamed or not; a managed agent is a run inside its manager",
    refusal="`AgentGenerationError`, whose `__cause__` it is",
    patches=(
        AgentPatch(
            target=Target(module="smolagents.agents", owner="MultiStepAgent", method="_run_stream"),
            read_agent=_agent,
            kind="generator",
        ),
        LeftOpenPatch(
            target=Target(
                module="openinference.instrumentation.smolagents._wrappers",
                owner="_RunWrapper",
                method="__call__",
                optional=True,
            )
        ),
    ),
)
