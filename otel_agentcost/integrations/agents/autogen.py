"""autogen-agentchat: a team is a workflow, and each turn of one of its agents is a run of that agent.

Since 0.7, AutoGen makes a span of each run and turn of an agent. That span gets the totals.
"""

from __future__ import annotations

import sys
from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, makes_spans
from otel_agentcost.integrations.patching import Target

_AGENTS = "autogen_agentchat.agents._base_chat_agent"
_CHATS = "autogen_agentchat.teams._group_chat"
_CONTAINER = f"{_CHATS}._chat_agent_container"


def _agent(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    return _of(agent, _AGENTS)


def _member(container: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent | None:
    agent = container._agent
    if not hasattr(agent, "on_messages"):  # a team within a team, which has a run of its own
        return None
    return _of(agent, _CONTAINER)


def _of(agent: Any, module: str) -> Agent:
    makes_span = hasattr(sys.modules[module], "trace_invoke_agent_span") and makes_spans()
    return Agent(name=agent.name, description=agent.description, key=id(agent), create_span=not makes_span)


def _team(team: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    name = getattr(team, "name", None) or type(team).__name__
    return Agent(name=str(name), workflow=True, description=getattr(team, "description", None), key=id(team))


FRAMEWORK = AgentFramework(
    name="autogen",
    title="AutoGen",
    distribution="autogen-agentchat",
    oldest="0.4.2",
    runs="`run` and `run_stream` of an agent; a team is a workflow, each turn of a member is a run",
    refusal="`BudgetExceeded`; from a team a `RuntimeError` whose `__cause__` it is",
    patches=(
        AgentPatch(
            target=Target(module=_AGENTS, owner="BaseChatAgent", method="run"), read_agent=_agent, kind="coroutine"
        ),
        AgentPatch(
            target=Target(module=_AGENTS, owner="BaseChatAgent", method="run_stream"),
            read_agent=_agent,
            kind="async generator",
        ),
        AgentPatch(
            target=Target(module=f"{_CHATS}._base_group_chat", owner="BaseGroupChat", method="run_stream"),
            read_agent=_team,
            kind="async generator",
        ),
        AgentPatch(
            target=Target(module=_CONTAINER, owner="ChatAgentContainer", method="handle_request"),
            read_agent=_member,
            kind="coroutine",
        ),
    ),
)
