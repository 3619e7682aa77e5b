"""Recognising the span that somebody else has opened for the very call that we are about to open one for.

Most instrumentations make their span the current one while the SDK works, and our seam is inside of it. OpenLLMetry's
for anthropic does not, nor does OpenInference's for anthropic's stream helper, which sends its request only when it is
entered: such a span is noted when it starts, and found again by the next call in the same context, under the same
parent, that asks for the same model.
"""

from __future__ import annotations

import re
import weakref
from contextvars import ContextVar
from typing import Any, TypeGuard

from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span

from otel_agentcost.core import aliases, semconv
from otel_agentcost.core.call import Call

_OPERATIONS = frozenset(
    {semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT, semconv.EMBEDDINGS, "responses", "completion"}
)
_OPENINFERENCE_KINDS = frozenset({"LLM", "EMBEDDING"})
_TAKEN = "_agentcost_taken"
_MODELS = re.compile(f"{aliases.PATCHED_SDK_SCOPES}|{aliases.FRAMEWORK_SCOPES}", re.IGNORECASE)
"""The scopes of instrumentations of the SDKs that this package patches, and of the frameworks above them."""
_OF_MODELS: dict[str, bool] = {}
_MOST_SCOPES = 1000

_noted: ContextVar[weakref.ref[SdkSpan] | None] = ContextVar("agentcost_noted", default=None)


def note(span: SdkSpan) -> None:
    """`span` has just started: remembers it in this context if it stands for a model call."""
    if _is_inference(span):
        _noted.set(weakref.ref(span))


def mark(span: SdkSpan) -> None:
    """`span` has just started: where it is of an instrumentation of models, a Collector is told that its call is seen
    here. Otherwise it would price those spans that this package, which has the dollars elsewhere, leaves alone.
    """
    scope = span.instrumentation_scope
    name = scope.name if scope is not None else ""
    known = _OF_MODELS.get(name)
    if known is None:
        known = _MODELS.search(name) is not None and not name.startswith("otel_agentcost")
        if len(_OF_MODELS) < _MOST_SCOPES:
            _OF_MODELS[name] = known
    if known:
        span.set_attribute(semconv.WATCHED, True)


def take(span: Span) -> None:
    """`span` has its call: no other call may have it."""
    if isinstance(span, SdkSpan):
        setattr(span, _TAKEN, True)


def is_taken(span: Span) -> bool:
    """Whether `span` has its call."""
    return hasattr(span, _TAKEN)


def span_of(call: Call, provider: object, current: Span) -> SdkSpan | None:
    """The span that somebody else has opened for `call`, be it the current one or one that was noted; else None."""
    current = _bare(current)
    if _is_free(current) and not _is_for_another(current, call):
        return current
    reference = _noted.get()
    noted = reference() if reference is not None else None
    if noted is None or not _is_free(noted) or not _is_child(noted, current):
        return None
    return noted if _is_for(noted, call, provider) else None


def _bare(span: Any) -> Any:
    """The SDK's own span: OpenInference and Logfire make one current that stands for it."""
    inner = getattr(span, "__wrapped__", None) or getattr(span, "span", None)
    return inner if isinstance(inner, SdkSpan) else span


def _is_free(span: Span) -> TypeGuard[SdkSpan]:
    """Whether `span` stands for a model call, still records, and has no call yet."""
    return isinstance(span, SdkSpan) and span.is_recording() and _is_inference(span) and not hasattr(span, _TAKEN)


def _is_inference(span: SdkSpan) -> bool:
    given = span.attributes
    if not given:
        return False
    operation = given.get(semconv.OPERATION)
    if operation is not None:
        return operation in _OPERATIONS
    if "llm.request.type" in given:  # OpenLLMetry before it spoke the conventions
        return True
    return given.get("openinference.span.kind") in _OPENINFERENCE_KINDS


def _is_child(span: SdkSpan, parent: Span) -> bool:
    return (span.parent.span_id if span.parent is not None else 0) == parent.get_span_context().span_id


def _is_for_another(span: SdkSpan, call: Call) -> bool:
    """Whether `span` says that it stands for another model's call, or for a call of another kind."""
    given = span.attributes or {}
    model = given.get(semconv.REQUEST_MODEL, given.get("llm.model_name"))
    if model is not None and call.model is not None and model != call.model:
        return True
    operation = given.get(semconv.OPERATION)
    return operation is not None and (operation == semconv.EMBEDDINGS) != (call.operation == semconv.EMBEDDINGS)


def _is_for(span: SdkSpan, call: Call, provider: object) -> bool:
    """Whether `span` asks for the model of `call`; or, if it does not say yet for which, a model of its provider."""
    given = span.attributes or {}
    model = given.get(semconv.REQUEST_MODEL, given.get("llm.model_name"))
    if model is not None:
        return model == call.model
    return provider in (given.get(semconv.PROVIDER), given.get("llm.provider"))
