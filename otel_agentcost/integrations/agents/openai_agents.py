"""openai-agents: `AgentRunner.run` and `start_streaming` make every run; a turn says which agent acts.

`Runner.run`, `run_sync` and agents as tools go through the first, `run_streamed` through the second, in a task that
ends when the stream ends. A session, or the provider's conversation, is the conversation. A hand-over ends no run.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, TurnPatch
from otel_agentcost.integrations.patching import Target, optional_argument

_LOOP = "agents.run_internal.run_loop"


def _agent(_runner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    started = optional_argument(args, kwargs, 1, "input")  # a state, if a run goes on that was interrupted
    return _of(getattr(started, "_current_agent", None) or optional_argument(args, kwargs, 0, "starting_agent"), kwargs)


def _streamed(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    acting = getattr(kwargs.get("run_state"), "_current_agent", None)
    return _of(acting or optional_argument(args, kwargs, 2, "starting_agent"), kwargs)


def _acting(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent | None:
    bindings = next((each for each in args if hasattr(each, "public_agent")), kwargs.get("bindings"))
    agent = getattr(bindings, "public_agent", None) or kwargs.get("agent")
    agent = agent or next((each for each in args if type(each).__name__ in ("Agent", "SandboxAgent")), None)
    return _of(agent, {}) if agent is not None else None


def _of(agent: Any, kwargs: dict[str, Any]) -> Agent:
    conversation = kwargs.get("conversation_id") or getattr(kwargs.get("session"), "session_id", None)
    conversation = conversation or getattr(kwargs.get("run_config"), "group_id", None)
    description = getattr(agent, "handoff_description", None)
    return Agent(name=agent.name, description=description, conversation=conversation, key=agent.name)


FRAMEWORK = AgentFramework(
    name="openai-agents",
    title="OpenAI Agents SDK",
    distribution="openai-agents",
    oldest="0.9.0",
    runs=(
        "`Runner.run`, `run_sync`, `run_streamed`, an agent as a tool; an agent that takes over is a run "
        "inside the first"
    ),
    refusal=(
        "`BudgetExceeded`; in an agent that is a tool, the tool's error message, and the next call of "
        "the outer agent is refused if the budget holds for it"
    ),
    patches=(
        AgentPatch(
            target=Target(module="agents.run", owner="AgentRunner", method="run"), read_agent=_agent, kind="coroutine"
        ),
        AgentPatch(target=Target(module=_LOOP, method="start_streaming"), read_agent=_streamed, kind="coroutine"),
        TurnPatch(target=Target(module=_LOOP, method="run_single_turn"), read_agent=_acting),
        TurnPatch(target=Target(module=_LOOP, method="run_single_turn_streamed"), read_agent=_acting),
    ),
)
