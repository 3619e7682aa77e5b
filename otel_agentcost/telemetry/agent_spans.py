"""Find the span that a framework, or another instrumentation, has opened for an agent: the agent gets no second span.

This package's patch is inside of theirs, so their span is current when an agent starts. An agent claims its span: the
next one that starts below is another agent, unless it has a span of its own too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span

from otel_agentcost.core import semconv
from otel_agentcost.telemetry import blocks, open_spans
from otel_agentcost.telemetry.adoption import unwrapped

_CLAIMED = "_agentcost_agent"
_ENDED = "_agentcost_ended"
_OWN_SCOPE = "otel_agentcost"
_KINDS = ("openinference.span.kind", "traceloop.span.kind")
_PYDANTIC_AI = "agent_name"
"""The attribute by which pydantic-ai before 1.0 marked the span of an agent."""
_AGENT_KINDS = frozenset({"agent"})
_WORKFLOW_KINDS = frozenset({"workflow", "chain"})
_DUPLICATES = frozenset({"agent", "workflow"})
_NAMES = (semconv.AGENT, semconv.WORKFLOW, "traceloop.entity.name")


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


def open_beside(name: str | None) -> SdkSpan | None:
    """Return the span that other code has opened for the agent `name`, and does not make current.

    The caller is the agent, which the code of that span has just called. Some instrumentations of streams do that.
    """
    span = next(open_spans.latest(), None)
    if span is None or name is None or not is_foreign(span) or not is_agent(span):
        return None
    around: Any = unwrapped(trace.get_current_span())
    if around is span or getattr(span.parent, "span_id", 0) != around.get_span_context().span_id:
        return None
    return span if (span.attributes or {}).get(semconv.AGENT) == name else None


def is_beside(span: Span, own: Span, name: str | None) -> bool:
    """Return True if other code has opened `span` for the run whose span is `own`, below the same parent.

    Args:
        span: The span, which may be of anything.
        own: The span of the run.
        name: The name of the agent.
    """
    other, this = unwrapped(span), unwrapped(own)
    if not is_foreign(other) or not isinstance(other, SdkSpan) or not is_agent(other) or not isinstance(this, SdkSpan):
        return False
    named = (other.attributes or {}).get(semconv.AGENT, name)
    return other is not this and named == name and _parent_id(other) == _parent_id(this)


def _parent_id(span: SdkSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


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
        if workflow and operation == semconv.INVOKE_AGENT:  # of OpenLLMetry, whose crews are agents without a name
            fits = semconv.AGENT not in attributes
    else:
        kind = str(next((attributes[key] for key in _KINDS if key in attributes), "")).lower()
        fits = kind in (_WORKFLOW_KINDS if workflow else _AGENT_KINDS)
        if not fits and not workflow:  # google-adk sets the attributes of its span after it has started
            fits = _PYDANTIC_AI in attributes or span.name in (f"invoke_agent {name}", f"agent_run [{name}]")
    named = attributes.get(semconv.WORKFLOW if workflow else semconv.AGENT)
    return span if fits and (named is None or name is None or named == name) else None


def shows(
    span: SdkSpan, name: str | None, around: Span | None = None, other_names: Collection[str] = frozenset()
) -> bool:
    """Return True if `span`, which other code has opened inside the run of an agent, represents the same run.

    Args:
        span: The span, of an agent or a workflow by its attributes.
        name: The name of the agent or workflow that runs.
        around: The span of the run; None if it is not known.
        other_names: What other instrumentations call it.
    """
    attributes: Mapping[str, Any] = span.attributes or {}
    named = next((attributes[key] for key in _NAMES if attributes.get(key)), None)
    if named is not None or name is None:
        return named == name or named in other_names
    if mentions(span.name, name):
        return True
    outer = around.get_span_context().span_id if around is not None else None
    return span.parent is not None and span.parent.span_id == outer  # the outermost span, which is of all of the run


def is_agent(span: SdkSpan) -> bool:
    """Return True if the attributes of `span` say that it is of an agent or a workflow."""
    attributes: Mapping[str, Any] = span.attributes or {}
    operation = attributes.get(semconv.OPERATION)
    if operation is not None:
        return operation in (semconv.INVOKE_AGENT, semconv.INVOKE_WORKFLOW)
    return any(str(attributes[key]).lower() in _DUPLICATES for key in _KINDS if key in attributes)


def mentions(text: str, name: str) -> bool:
    """Return True if the name of a span has `name` as a word of its own, as in `researcher.agent`."""
    before, found, after = text.partition(name)
    return bool(found) and not before[-1:].isalnum() and not after[:1].isalnum()


class _Ended(NamedTuple):
    """The end of a run."""

    place: tuple[int, int]
    """The thread and the task in which it ended."""
    outer: Context
    """The context in which it was opened."""


def note_end(span: Span, outer: Context) -> None:
    """Note that the run of `span`, which was opened in `outer`, is over in the running code.

    Without an SDK, a new span is the one around it: the run has none of its own, and nothing is noted.
    """
    if span is not trace.get_current_span(outer) or isinstance(unwrapped(span), SdkSpan):
        setattr(span, _ENDED, _Ended(blocks.running_code(), outer))


def outside_of_ended(ctx: Context) -> Context:
    """Return the context around the runs of `ctx` that are over, where it is still current.

    Another instrumentation that attaches a context inside of a run and detaches it later makes the run current again:
    the next run would be in the trace of the last one. Tasks and threads that a run has started stay in its trace. A
    span of other code that is still open encloses the next run too.
    """
    around, passed = ctx, set[int]()
    while isinstance(ended := getattr(span := trace.get_current_span(around), _ENDED, None), _Ended):
        if id(span) in passed:  # a tracer of another kind uses its spans again
            return ctx
        if not _is_here(*ended.place):
            break
        passed.add(id(span))
        outer = ended.outer
        if getattr(trace.get_current_span(outer), _ENDED, None) is ended:  # the run had adopted the span around it
            adopted: Any = trace.get_current_span(outer)
            if adopted.is_recording() or adopted.parent is not None:
                break
            outer = trace.set_span_in_context(trace.INVALID_SPAN, outer)
        around = outer
    if around is not ctx:
        context.attach(around)
    return around


def end_left_open(before: Context) -> None:
    """End the span of an agent that other code has left open and current, and make `before` current again."""
    span: Any = unwrapped(trace.get_current_span())
    if context.get_current() is before or span is unwrapped(trace.get_current_span(before)):
        return
    if hasattr(span, _CLAIMED) and span.is_recording():
        span.end()
        context.attach(before)


def _is_here(thread: int, task: int) -> bool:
    """Return True if the running code is that place, or a task that code without an event loop there has started."""
    here = blocks.running_code()
    return here == (thread, task) or (here[0] == thread and task == id(None))
