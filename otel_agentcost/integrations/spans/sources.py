"""Spans of model calls that other instrumentations of SDKs make: which they are, and how to read request and usage.

The instrumentation scope identifies the instrumentation that made a span. Only the scopes listed here count: each
belongs to one SDK and makes one span for each call. Mark the rows of an SDK when `integrations/sdks` patches it, or its
calls are admitted twice. Scopes of frameworks are not listed: a usage in their spans may come from a cache, or from
a call that is charged already. Used by `model_calls.py`, which admits and prices the calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_agentcost.core import aliases, batch, semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Count, Kind, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The properties of one instrumentation scope's spans."""

    sdk: str
    """The SDK that the scope instruments. Two scopes of one SDK may make spans of the same call."""
    provider: str
    """The provider that the SDK calls, as `gen_ai.provider.name`."""
    refusable: bool = True
    """True if an exception in `on_start` prevents the call. Some instrumentations catch it and make the call anyway."""
    patched: str = ""
    """The module of the SDK that `integrations/sdks` patches; empty if it patches none. Where the module is loaded, a
    span admits nothing, and charges only a call that the patch has not seen, because this version does not fit it."""
    exclusive: bool = False
    """True if its input tokens exclude cached ones, as Bedrock counts. In the GenAI conventions, they include them."""
    bare_model: bool = False
    """True if it removes the inference profile from the model's name. The profile can set the price."""
    calls: tuple[str, ...] = ()
    """Prefixes of the names of its model call spans, if no attribute identifies them when they start."""


_BEDROCK = Source(sdk="botocore", provider="aws.bedrock", patched="botocore.client", exclusive=True)

SOURCES: Mapping[str, Source] = {
    "opentelemetry.instrumentation.groq": Source(sdk="groq", provider="groq", patched="groq"),
    "openinference.instrumentation.groq": Source(
        sdk="groq", provider="groq", patched="groq", refusable=False, calls=("Completions", "AsyncCompletions")
    ),
    "opentelemetry.instrumentation.mistralai": Source(sdk="mistralai", provider="mistral_ai", patched="mistralai"),
    "openinference.instrumentation.mistralai": Source(
        sdk="mistralai", provider="mistral_ai", patched="mistralai", calls=("MistralClient.", "MistralAsyncClient.")
    ),
    "mistralai_sdk_tracer": Source(
        sdk="mistralai",
        provider="mistral_ai",
        patched="mistralai",
        calls=("chat_", "stream_chat", "embeddings_", "fim_"),
    ),
    "opentelemetry.instrumentation.cohere": Source(sdk="cohere", provider="cohere", patched="cohere"),
    "opentelemetry.instrumentation.bedrock": Source(
        sdk="botocore", provider="aws.bedrock", patched="botocore.client", exclusive=True, bare_model=True
    ),
    "opentelemetry.instrumentation.botocore.bedrock-runtime": _BEDROCK,
    "opentelemetry.instrumentation.genai.bedrock": _BEDROCK,
    "openinference.instrumentation.bedrock": Source(
        sdk="botocore",
        provider="aws.bedrock",
        patched="botocore.client",
        calls=("bedrock.converse", "bedrock.invoke_model"),
    ),
    "opentelemetry.instrumentation.together": Source(sdk="together", provider="together_ai", patched="together"),
    "opentelemetry.instrumentation.ollama": Source(sdk="ollama", provider="ollama", patched="ollama"),
}
"""Sources by the exact name of the scope."""

_CALLS = frozenset(aliases.CALL_OPERATIONS)
_KINDS = frozenset(aliases.KINDS)

_COUNTS = (
    aliases.INPUT, aliases.OUTPUT, aliases.CACHE_READ, aliases.CACHE_WRITE, aliases.REASONING,
)  # fmt: skip
_PARAMETERS = "llm.invocation_parameters"

_Attributes = Mapping[str, Any]


def source_of(span: ReadableSpan) -> Source | None:
    """Return the source of `span`; None if its instrumentation scope is not listed."""
    scope = span.instrumentation_scope
    return SOURCES.get(scope.name) if scope is not None else None


def is_call(span: ReadableSpan, source: Source) -> bool:
    """Return True if `span` represents a model call, according to its current attributes and name."""
    attributes: _Attributes = span.attributes or {}
    for name, calls in ((semconv.OPERATION, _CALLS), ("llm.request.type", _CALLS), ("openinference.span.kind", _KINDS)):
        if name in attributes:
            return attributes[name] in calls
    return span.name.startswith(source.calls) if source.calls else False


def request_of(span: ReadableSpan) -> Call:
    """Return the request of a model call span, without its content.

    When a span starts, its attributes often name the model, and sometimes the output limit.
    """
    attributes: _Attributes = span.attributes or {}
    parameters = _parameters(attributes)
    model = _first(attributes, aliases.REQUEST_MODEL) or parameters.get("model")
    limit = _whole(attributes.get(semconv.REQUEST_MAX_TOKENS) or parameters.get("max_tokens"))
    return Call(
        operation=_operation(attributes),
        model=model if isinstance(model, str) and model else None,
        max_output_tokens=limit or 1,
        body={},
    )


def response_of(span: ReadableSpan, source: Source) -> Answer:
    """Return the usage, the model and the service tier of the response, from the attributes of an ending span."""
    attributes: _Attributes = span.attributes or {}
    model, tier = attributes.get(semconv.RESPONSE_MODEL), _first(attributes, aliases.TIER)
    tier = tier if isinstance(tier, str) else None
    usage = _usage(attributes, source)
    return Answer(
        usage=usage if isinstance(usage, Usage) else None,
        missing=None if isinstance(usage, Usage) else usage,
        model=model if isinstance(model, str) and model else None,
        terms=_terms(tier),
        tier=tier,
    )


def _terms(tier: str | None) -> tuple[tuple[str, str], ...]:
    if tier is None:
        return ()
    return batch.TERMS if tier == "batch" else (("service_tier", tier),)


def address(span: ReadableSpan) -> str | None:
    """Return the URL of the server; None if the span does not have its address."""
    attributes: _Attributes = span.attributes or {}
    server = attributes.get(semconv.SERVER_ADDRESS)
    if not isinstance(server, str) or not server:
        return None
    return f"https://[{server}]" if ":" in server else f"https://{server}"


def failure(span: ReadableSpan) -> str | None:
    """Return the `error.type` of the call, if need be from an exception event; None if the call did not fail."""
    if span.status.status_code is not StatusCode.ERROR:
        return None
    error = (span.attributes or {}).get(semconv.ERROR_TYPE)
    if not isinstance(error, str):
        raised = ((event.attributes or {}).get("exception.type") for event in reversed(span.events))
        error = next((kind for kind in raised if isinstance(kind, str)), "")
    return error if 0 < len(error) <= 200 else "_OTHER"


def _usage(attributes: _Attributes, source: Source) -> Usage | str:
    """Return the disjoint token counts, or the reason if there are none."""
    values = [
        _first(attributes, names)
        for names in (
            aliases.INPUT,
            aliases.OUTPUT,
            aliases.CACHE_READ,
            aliases.CACHE_WRITE,
            aliases.REASONING,
        )
    ]
    if values[0] is None:
        return "the span has no usage"
    counts = [_whole(value) if value is not None else 0 for value in values]
    whole = [count for count in counts if count is not None]
    if len(whole) < len(counts):
        return "the span's token counts are malformed"
    if any(attributes.get(name) for name in aliases.AUDIO):
        return "the span does not say how its audio tokens and its other tokens overlap"
    total, output, read, write, reasoning = whole
    if not any(whole) and _operation(attributes) != "rerank":
        return aliases.NO_TOKENS
    cached = read + write
    plain = total if source.exclusive or cached > total else total - cached
    reasoning = min(reasoning, output)
    kinds: dict[Kind, Count] = {
        "input_tokens": plain,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_tokens": output - reasoning,
        "output_reasoning_tokens": reasoning,
    }
    return Usage(counts={kind: count for kind, count in kinds.items() if count})


def _operation(attributes: _Attributes) -> str:
    operation = attributes.get(semconv.OPERATION) or attributes.get("llm.request.type")
    if operation is None and attributes.get("openinference.span.kind") == "EMBEDDING":
        return semconv.EMBEDDINGS
    return aliases.OLDER_OPERATIONS.get(str(operation), str(operation)) if operation is not None else semconv.CHAT


def _parameters(attributes: _Attributes) -> Mapping[str, Any]:
    """Return the request's parameters, which OpenInference writes as JSON."""
    text = attributes.get(_PARAMETERS)
    if not isinstance(text, str) or len(text) > 20_000:
        return {}
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", parsed) if isinstance(parsed, dict) else {}


def _first(attributes: _Attributes, names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)


def _whole(value: Any) -> int | None:
    """Return `value` as a token count, also if it is a float such as 100.0; None if it is not a count."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e15 or value != int(value):
        return None
    return int(value)
