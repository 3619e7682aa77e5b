"""browser-use: `run` of an agent, of which each `step` asks the model and acts. An agent of browser-use has no name.

Its session is the conversation: a second task that an agent is given goes on in it.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch
from otel_agentcost.integrations.patching import Target


def _agent(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    session = getattr(agent, "session_id", None)
    return Agent(
        name="browser-use",
        agent_id=agent.id,
        conversation=session if isinstance(session, str) else None,
        key=id(agent),
    )


FRAMEWORK = AgentFramework(
    name="browser-use",
    title="browser-use",
    distribution="browser-use",
    oldest="0.13.14",
    runs="`run`, `run_sync` and `rerun_history` of an agent, or a `step` outside of them; the name is `browser-use`",
    refusal="none: an error in `history.errors()`; the agent tries again until `max_failures`, and is refused again",
    patches=tuple(
        AgentPatch(
            target=Target(module="browser_use.agent.service", owner="Agent", method=method, asynchronous=True),
            read_agent=_agent,
            kind="coroutine",
        )
        for method in ("run", "rerun_history", "step")
    ),
)
