"""strands-agents: `stream_async` of an agent makes every run. Strands makes a span of each, which gets the totals."""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, makes_spans
from otel_agentcost.integrations.patching import Target


def _agent(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    session = getattr(getattr(agent, "_session_manager", None), "session_id", None)
    return Agent(
        name=agent.name,
        description=getattr(agent, "description", None),
        conversation=session if isinstance(session, str) else None,
        key=id(agent),
        create_span=not makes_spans(),
    )


FRAMEWORK = AgentFramework(
    name="strands",
    title="Strands Agents",
    distribution="strands-agents",
    oldest="1.30.0",
    runs="a call of an agent, `invoke_async`, `stream_async` (the span is that of Strands)",
    refusal="`EventLoopException`, whose `__cause__` it is",
    patches=(
        AgentPatch(
            target=Target(module="strands.agent.agent", owner="Agent", method="stream_async"),
            read_agent=_agent,
            kind="async generator",
        ),
    ),
)
