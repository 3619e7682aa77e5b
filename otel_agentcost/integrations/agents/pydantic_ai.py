"""pydantic-ai: all methods of an agent that run it go through `Agent.iter`, an async context manager.

An agent that is instrumented (`instrument=True`, `Agent.instrument_all()`, Logfire) makes a span of its run. That span
gets the totals then. Calls that the application makes inside `async with agent.iter(...)` are calls of the agent.
"""

from __future__ import annotations

import sys
from typing import Any

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch
from otel_agentcost.integrations.patching import Target

_OURS = __name__.partition(".")[0]


def _agent(agent: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    name = agent.name
    if name is None and kwargs.get("infer_name", True):
        name = _inferred_name(agent)
    conversation = kwargs.get("conversation_id") or getattr(kwargs.get("conversation"), "id", None)
    description = getattr(agent, "description", None)
    return Agent(
        name=name or "agent",  # as its own spans name it
        description=description if isinstance(description, str) else None,
        conversation=conversation if isinstance(conversation, str) and conversation != "new" else None,
        create_span=not _makes_span(agent, kwargs),
    )


def _inferred_name(agent: Any) -> str | None:
    """Return the name of the variable that holds the agent, where the application calls `iter` itself.

    `run` and the others give the agent that name, unless they are asked not to. `iter` leaves the agent as it is.
    """
    frame = sys._getframe()
    while frame.f_back is not None and str(frame.f_back.f_globals.get("__name__")).startswith(_OURS):
        frame = frame.f_back
    if frame.f_back is None or str(frame.f_back.f_globals.get("__name__")).startswith("pydantic_ai."):
        return None
    agent._infer_name(frame)
    name: str | None = agent.name
    agent.name = None
    return name


def _makes_span(agent: Any, kwargs: dict[str, Any]) -> bool:
    """Return True if the agent is instrumented."""
    own = getattr(agent, "_instrument", None)  # since 1.90; `instrument` is a property there
    own = own if own is not None else getattr(agent, "instrument", None)
    if own is not None and own is not False:
        return True
    if own is None and agent._instrument_default:
        return True
    if type(kwargs.get("model") or agent.model).__name__ == "InstrumentedModel":
        return True
    capabilities = getattr(getattr(agent, "_root_capability", None), "capabilities", ())
    given: Any = kwargs.get("capabilities") or ()
    return any(type(each).__name__ == "Instrumentation" for each in (*capabilities, *given))


FRAMEWORK = AgentFramework(
    name="pydantic-ai",
    title="Pydantic AI",
    distribution="pydantic-ai-slim",
    oldest="0.5.0",
    runs="`run`, `run_sync`, `run_stream`, `iter` (with `instrument=True`, the span is Pydantic AI's own)",
    patches=(
        AgentPatch(
            target=Target(module="pydantic_ai.agent", owner="Agent", method="iter"),
            read_agent=_agent,
            kind="async context",
        ),
    ),
)
