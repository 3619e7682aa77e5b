"""agent-framework: `Agent.run` returns an awaitable, or a stream. The framework makes a span of both, by default.

That span gets the totals. Without it (`ENABLE_INSTRUMENTATION=false`), a run whose answer is streamed is current while
the stream computes its next update, and ends when the stream has ended.
"""

from __future__ import annotations

import sys
import weakref
from functools import partial
from typing import Any

from otel_agentcost.calls.agent_run import Agent, AgentRun
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, OwnPatch, makes_spans
from otel_agentcost.integrations.patching import Target

_NAME = "agent-framework"
_RUN = Target(module="agent_framework._agents", owner="Agent", method="run")


def _makes_span() -> bool:
    return sys.modules["agent_framework.observability"].OBSERVABILITY_SETTINGS.ENABLED and makes_spans()


def _agent(agent: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    session = kwargs.get("session")
    conversation = getattr(session, "service_session_id", None) or getattr(session, "session_id", None)
    return Agent(
        name=agent.name or agent.id,  # as its own spans name it
        agent_id=agent.id,
        description=agent.description,
        conversation=conversation if isinstance(conversation, str) else None,
        key=id(agent),
        create_span=not _makes_span(),
    )


def _awaited(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent | None:
    return None if kwargs.get("stream") and not _makes_span() else _agent(agent, args, kwargs)


def _around_stream(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Open a run of which the framework makes no span, and whose answer is a stream."""
    opened: AgentRun | None = None
    try:
        if kwargs.get("stream") and not _makes_span():
            opened = AgentRun(_agent(instance, args, kwargs), _NAME)
    except Exception as bug:  # a release of another shape
        report(f"reading an agent of {_NAME}", bug)
    if opened is None:
        return wrapped(*args, **kwargs)
    with opened.begun():
        stream = wrapped(*args, **kwargs)
    try:
        stream.with_cleanup_hook(partial(_end, opened, weakref.ref(stream))).with_pull_context_manager(opened.resumed)
    except Exception as bug:  # a stream of another shape
        opened.__exit__(None, None, None)
        report(f"following a stream of {_NAME}", bug)
    return stream


def _end(opened: AgentRun, stream: weakref.ref[Any]) -> None:
    error: BaseException | None = getattr(stream(), "_stream_error", None)
    opened.__exit__(None if error is None else type(error), error, None)


FRAMEWORK = AgentFramework(
    name=_NAME,
    title="Microsoft Agent Framework",
    distribution="agent-framework-core",
    oldest="1.23.0",
    runs="`run` of an agent, streamed or not (the span is the framework's own, unless its instrumentation is off)",
    patches=(
        AgentPatch(target=_RUN, read_agent=_awaited, kind="awaitable"),
        OwnPatch(target=_RUN, wrapper=_around_stream),
    ),
)
