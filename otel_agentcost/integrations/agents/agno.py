"""agno: the functions `_run` and `_continue_run` in their four forms make every run of an agent and of a team.

A session is the conversation. Members run inside their team.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, Kind
from otel_agentcost.integrations.patching import Target, optional_argument


def _agent(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    agent: Any = args[0] if args else kwargs.get("agent", kwargs.get("team"))
    session = optional_argument(args, kwargs, 3, "session_id")
    return Agent(
        name=agent.name or type(agent).__name__,
        agent_id=agent.id,
        description=agent.description,
        conversation=session if isinstance(session, str) else None,
        key=id(agent),
    )


_FORMS: tuple[tuple[str, Kind], ...] = (
    ("_run", "function"),
    ("_run_stream", "generator"),
    ("_arun", "coroutine"),
    ("_arun_stream", "async generator"),
    ("_continue_run", "function"),
    ("_continue_run_stream", "generator"),
    ("_acontinue_run", "coroutine"),
    ("_acontinue_run_stream", "async generator"),
)
_TASKS: tuple[tuple[str, Kind], ...] = (
    ("_run_tasks", "function"),
    ("_run_tasks_stream", "generator"),
    ("_arun_tasks", "coroutine"),
    ("_arun_tasks_stream", "async generator"),
)


def _patches(module: str, forms: tuple[tuple[str, Kind], ...]) -> tuple[AgentPatch, ...]:
    return tuple(
        AgentPatch(
            target=Target(module=module, method=method, optional=not method.endswith("run")),
            read_agent=_agent,
            kind=kind,
        )
        for method, kind in forms
    )


FRAMEWORK = AgentFramework(
    name="agno",
    title="Agno",
    distribution="agno",
    oldest="3.1.10",
    runs="`run`, `arun` and `continue_run` of an agent or a team, streamed or not",
    refusal="the run has the status `error` and the message; an error event in a stream",
    patches=(*_patches("agno.agent._run", _FORMS), *_patches("agno.team._run", (*_FORMS, *_TASKS))),
)
