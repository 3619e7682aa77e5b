"""Find the span that another instrumentation has opened for a call, so that the call does not get a second span.

Most instrumentations make their span the current one while the SDK runs, and this package's patch runs inside it. Two
do not: OpenLLMetry's for anthropic, and OpenInference's for anthropic's stream helper, which sends its request only
when it is entered. `remember` therefore keeps such a span when it starts. The next call in the same context, under the
same parent and for the same model, adopts it.
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
_CLAIMED = "_agentcost_claimed"
_MODEL_SCOPES = re.compile(f"{aliases.PATCHED_SDK_SCOPES}|{aliases.FRAMEWORK_SCOPES}", re.IGNORECASE)
"""The scopes of instrumentations of the SDKs that this package patches, and of the frameworks above them."""
_IS_MODEL_SCOPE: dict[str, bool] = {}
"""Results for scopes that occurred before."""
_MAX_SCOPES = 1000

_latest: ContextVar[weakref.ref[SdkSpan] | None] = ContextVar("agentcost_latest_model_span", default=None)


def remember(span: SdkSpan) -> None:
    """Remember `span`, which has just started, in this context if it represents a model call."""
    if _is_inference(span):
        _latest.set(weakref.ref(span))


def mark_watched(span: SdkSpan) -> None:
    """Set `agentcost.watched` on `span`, which has just started, if its instrumentation makes spans of model calls.

    The attribute tells the Collector that this process prices the call. Without it, the Collector would price spans
    that have no cost here because another span of the same call has it.
    """
    scope = span.instrumentation_scope
    name = scope.name if scope is not None else ""
    is_model_scope = _IS_MODEL_SCOPE.get(name)
    if is_model_scope is None:
        is_model_scope = _MODEL_SCOPES.search(name) is not None and not name.startswith("otel_agentcost")
        if len(_IS_MODEL_SCOPE) < _MAX_SCOPES:
            _IS_MODEL_SCOPE[name] = is_model_scope
    if is_model_scope:
        span.set_attribute(semconv.WATCHED, True)


def claim(span: Span) -> None:
    """Claim `span` for a call: no other call may adopt it."""
    if isinstance(span, SdkSpan):
        setattr(span, _CLAIMED, True)


def is_claimed(span: Span) -> bool:
    """Return True if a call has claimed `span`."""
    return hasattr(span, _CLAIMED)


def span_of(call: Call, provider: object, current: Span) -> SdkSpan | None:
    """Return the span that another instrumentation has opened for `call`.

    Args:
        call: The call.
        provider: The provider of the call, as `gen_ai.provider.name`.
        current: The current span.

    Returns:
        The current span or the remembered one; None if neither represents `call`.
    """
    current = unwrapped(current)
    if _is_free(current) and not _contradicts(current, call):
        return current
    reference = _latest.get()
    latest = reference() if reference is not None else None
    if latest is None or not _is_free(latest) or not _is_child(latest, current):
        return None
    return latest if _matches(latest, call, provider) else None


def unwrapped(span: Any) -> Any:
    """Return the SDK's span: OpenInference and Logfire make a wrapper of it the current span."""
    inner = getattr(span, "__wrapped__", None) or getattr(span, "span", None)
    return inner if isinstance(inner, SdkSpan) else span


def _is_free(span: Span) -> TypeGuard[SdkSpan]:
    """Return True if `span` represents a model call, still records, and is not claimed."""
    return isinstance(span, SdkSpan) and span.is_recording() and _is_inference(span) and not hasattr(span, _CLAIMED)


def _is_inference(span: SdkSpan) -> bool:
    attributes = span.attributes
    if not attributes:
        return _is_unmarked_call(span)
    operation = attributes.get(semconv.OPERATION)
    if operation is not None:
        return operation in _OPERATIONS
    if "llm.request.type" in attributes:  # OpenLLMetry before it followed the GenAI conventions
        return True
    kind = attributes.get("openinference.span.kind")
    return kind in _OPENINFERENCE_KINDS if kind is not None else _is_unmarked_call(span)


def _is_unmarked_call(span: SdkSpan) -> bool:
    scope = span.instrumentation_scope
    begins = aliases.UNMARKED_CALLS.get(scope.name) if scope is not None else None
    return begins is not None and span.name.startswith(begins)


def _is_child(span: SdkSpan, parent: Span) -> bool:
    return (span.parent.span_id if span.parent is not None else 0) == parent.get_span_context().span_id


def _contradicts(span: SdkSpan, call: Call) -> bool:
    """Return True if the attributes of `span` name another model, or another kind of operation, than `call`."""
    attributes = span.attributes or {}
    model = attributes.get(semconv.REQUEST_MODEL, attributes.get("llm.model_name"))
    if model is not None and call.model is not None and model not in (call.model, call.other_model):
        return True
    operation = attributes.get(semconv.OPERATION)
    return operation is not None and (operation == semconv.EMBEDDINGS) != (call.operation == semconv.EMBEDDINGS)


def _matches(span: SdkSpan, call: Call, provider: object) -> bool:
    """Return True if `span` names the model of `call`, or names no model yet and the same provider."""
    attributes = span.attributes or {}
    model = attributes.get(semconv.REQUEST_MODEL, attributes.get("llm.model_name"))
    if model is not None:
        return model in (call.model, call.other_model)
    return provider in (attributes.get(semconv.PROVIDER), attributes.get("llm.provider"))
