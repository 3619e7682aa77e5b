"""agent-framework: `Agent.run` returns an awaitable, or a stream. The framework makes a span of both, by default.

That span gets the totals. A stream is only seen by that span: without it (`ENABLE_INSTRUMENTATION=false`), its model
calls have no agent.
"""

from __future__ import annotations

import sys
from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, makes_spans
from otel_agentcost.integrations.patching import Target


def _agent(agent: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent | None:
    session = kwargs.get("session")
    conversation = getattr(session, "service_session_id", None) or getattr(session, "session_id", None)
    traced = sys.modules["agent_framework.observability"].OBSERVABILITY_SETTINGS.ENABLED and makes_spans()
    if kwargs.get("stream") and not traced:
        return None
    return Agent(
        name=agent.name or agent.id,  # as its own spans name it
        agent_id=agent.id,
        description=agent.description,
        conversation=conversation if isinstance(conversation, str) else None,
        key=id(agent),
        create_span=not traced,
    )


FRAMEWORK = AgentFramework(
    name="agent-framework",
    title="Microsoft Agent Framework",
    distribution="agent-framework-core",
    oldest="1.23.0",
    runs="`run` of an agent (the span is the framework's own, unless its instrumentation is off)",
    patches=(
        AgentPatch(
            target=Target(module="agent_framework._agents", owner="Agent", method="run"),
            read_agent=_agent,
            kind="awaitable",
        ),
    ),
)
