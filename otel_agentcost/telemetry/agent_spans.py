"""Find the span that a framework, or another instrumentation, has opened for an agent: the agent gets no second span.

This package's patch is inside of theirs, so their span is current when an agent starts. An agent claims its span: the
next one that starts below is another agent, unless it has a span of its own too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span

from otel_agentcost.core import semconv
from otel_agentcost.telemetry.adoption import unwrapped

_CLAIMED = "_agentcost_agent"
_OWN_SCOPE = "otel_agentcost"
_KINDS = ("openinference.span.kind", "traceloop.span.kind")
_PYDANTIC_AI = "agent_name"
"""The attribute by which pydantic-ai before 1.0 marked the span of an agent."""
_AGENT_KINDS = frozenset({"agent"})
_WORKFLOW_KINDS = frozenset({"workflow", "chain"})


def claim(span: Span) -> None:
    """Claim `span` for an agent: no other agent may adopt it."""
    if isinstance(span, SdkSpan):
        setattr(span, _CLAIMED, True)


def is_foreign(span: Span) -> bool:
    """Return True if other code has opened `span`, and no agent has claimed it."""
    span = unwrapped(span)
    if not isinstance(span, SdkSpan) or not span.is_recording() or hasattr(span, _CLAIMED):
        return False
    return span.instrumentation_scope is None or span.instrumentation_scope.name != _OWN_SCOPE


def span_of(current: Span, name: str | None, *, workflow: bool) -> SdkSpan | None:
    """Return the current span if other code has opened it for this agent.

    Args:
        current: The current span.
        name: The name of the agent or workflow; None if it has none.
        workflow: True for a workflow, False for an agent.

    Returns:
        The span, which records; None if it represents another agent, or none at all.
    """
    span: Any = unwrapped(current)
    if not is_foreign(span):
        return None
    attributes: Mapping[str, Any] = span.attributes or {}
    operation = attributes.get(semconv.OPERATION)
    if operation is not None:
        fits = operation == (semconv.INVOKE_WORKFLOW if workflow else semconv.INVOKE_AGENT)
    else:
        kind = str(next((attributes[key] for key in _KINDS if key in attributes), "")).lower()
        fits = kind in (_WORKFLOW_KINDS if workflow else _AGENT_KINDS)
        if not fits and not workflow:  # google-adk sets the attributes of its span after it has started
            fits = _PYDANTIC_AI in attributes or span.name in (f"invoke_agent {name}", f"agent_run [{name}]")
    named = attributes.get(semconv.WORKFLOW if workflow else semconv.AGENT)
    return span if fits and (named is None or name is None or named == name) else None
