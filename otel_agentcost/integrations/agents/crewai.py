"""crewai: a crew and a flow are workflows; an agent runs for each task, or by itself.

A crew or a flow that streams starts itself again in a thread, which is its run then. In an event loop, `kickoff` of an
agent returns the coroutine of `kickoff_async`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, Kind
from otel_agentcost.integrations.patching import Target


def _crew(crew: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent | None:
    return None if getattr(crew, "stream", False) else Agent(name=crew.name or "crew", workflow=True, key=id(crew))


def _flow(flow: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent | None:
    if getattr(flow, "stream", False) or type(flow).__module__.startswith("crewai."):  # such as an agent's own loop
        return None
    name = getattr(flow, "name", None) or type(flow).__name__
    return Agent(name=name, workflow=True, key=id(flow))


def _agent(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    role = str(agent.role).strip()
    return Agent(name=role, agent_id=str(agent.id), description=str(agent.goal).strip(), key=id(agent))


def _agent_in_no_loop(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent | None:
    return _agent(agent, args, kwargs) if asyncio._get_running_loop() is None else None


_CREW = "crewai.crew"
_AGENT = "crewai.agent"


def _of_agent(method: str, kind: Kind = "function") -> AgentPatch:
    target = Target(module=_AGENT, owner="Agent", method=method, optional=method != "execute_task")
    return AgentPatch(target=target, read_agent=_agent_in_no_loop if method == "kickoff" else _agent, kind=kind)


FRAMEWORK = AgentFramework(
    name="crewai",
    title="CrewAI",
    distribution="crewai",
    oldest="0.95.0",
    runs="a task of an agent, or its `kickoff`; a crew and a flow are workflows",
    patches=(
        AgentPatch(target=Target(module=_CREW, owner="Crew", method="kickoff"), read_agent=_crew),
        AgentPatch(
            target=Target(module=_CREW, owner="Crew", method="akickoff", optional=True),
            read_agent=_crew,
            kind="coroutine",
        ),
        AgentPatch(
            target=Target(module="crewai.flow.flow", owner="Flow", method="kickoff_async"),
            read_agent=_flow,
            kind="coroutine",
        ),
        _of_agent("execute_task"),
        _of_agent("aexecute_task", "coroutine"),
        _of_agent("kickoff"),
        _of_agent("kickoff_async", "coroutine"),
    ),
)
