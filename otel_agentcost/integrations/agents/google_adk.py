"""google-adk: `run_async` and `run_live` of an agent. ADK makes a span of each agent, which gets the totals.

The session is the conversation. An agent that another one hands over to runs inside of that one.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, makes_spans
from otel_agentcost.integrations.patching import Target, optional_argument

_MODULE = "google.adk.agents.base_agent"


def _agent(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    session = getattr(optional_argument(args, kwargs, 0, "parent_context"), "session", None)
    return Agent(
        name=agent.name,
        description=agent.description or None,
        conversation=getattr(session, "id", None),
        key=id(agent),
        create_span=not makes_spans(),
    )


FRAMEWORK = AgentFramework(
    name="google-adk",
    title="Google ADK",
    distribution="google-adk",
    oldest="1.10.0",
    runs="each agent that a runner runs, nested as they hand over (the span is ADK's own)",
    patches=tuple(
        AgentPatch(
            target=Target(module=_MODULE, owner="BaseAgent", method=method), read_agent=_agent, kind="async generator"
        )
        for method in ("run_async", "run_live")
    ),
)
