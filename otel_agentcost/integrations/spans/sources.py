"""Spans of model calls that go through SDKs we do not patch: which they are, what they ask, and what they used.

Who made a span is told by its instrumentation scope, and only scopes that are listed here count: each stands for one
SDK and makes one span a call. An SDK that gets a seam of ours leaves the list, or its calls would be charged twice.
Spans of frameworks are not listed: what they report can come out of a cache, or of a call that is charged already.
Used by `foreign.py`, which prices and admits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_agentcost.core import aliases, semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Count, Kind, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is known of the spans of one instrumentation scope."""

    sdk: str
    """The SDK whose calls it sees: two scopes of one SDK may see the same call."""
    provider: str
    """Who sells what the SDK calls."""
    refusable: bool = True
    """Whether an exception of `on_start` keeps the call from being made. Some catch it, and call without a span."""
    exclusive: bool = False
    """Whether its input tokens leave out the cached ones, unlike the conventions' (Bedrock counts so)."""
    bare_model: bool = False
    """Whether it cuts the inference profile off the model's name, which can set the price."""
    calls: tuple[str, ...] = ()
    """How the names of its calls' spans begin, where nothing else on the span says at its start what it is."""


_BEDROCK = Source(sdk="botocore", provider="aws.bedrock", exclusive=True)

SOURCES: Mapping[str, Source] = {
    "opentelemetry.instrumentation.groq": Source(sdk="groq", provider="groq"),
    "openinference.instrumentation.groq": Source(
        sdk="groq", provider="groq", refusable=False, calls=("Completions", "AsyncCompletions")
    ),
    "opentelemetry.instrumentation.mistralai": Source(sdk="mistralai", provider="mistral_ai"),
    "openinference.instrumentation.mistralai": Source(
        sdk="mistralai", provider="mistral_ai", refusable=False, calls=("MistralClient.", "MistralAsyncClient.")
    ),
    "mistralai_sdk_tracer": Source(
        sdk="mistralai", provider="mistral_ai", refusable=False, calls=("chat_", "stream_chat", "embeddings_", "fim_")
    ),
    "opentelemetry.instrumentation.cohere": Source(sdk="cohere", provider="cohere"),
    "opentelemetry.instrumentation.bedrock": Source(
        sdk="botocore", provider="aws.bedrock", exclusive=True, bare_model=True
    ),
    "opentelemetry.instrumentation.botocore.bedrock-runtime": _BEDROCK,
    "opentelemetry.instrumentation.genai.bedrock": _BEDROCK,
    "openinference.instrumentation.bedrock": Source(
        sdk="botocore", provider="aws.bedrock", calls=("bedrock.converse", "bedrock.invoke_model")
    ),
    "opentelemetry.instrumentation.together": Source(sdk="together", provider="together_ai"),
    "opentelemetry.instrumentation.ollama": Source(sdk="ollama", provider="ollama"),
}
"""By the exact name of the scope."""

_CALLS = frozenset(
    {
        semconv.CHAT,
        semconv.TEXT_COMPLETION,
        semconv.GENERATE_CONTENT,
        semconv.EMBEDDINGS,
        "completion",
        "embedding",
        "rerank",
    }
)
_KINDS = frozenset({"LLM", "EMBEDDING", "RERANKER"})
_OPERATIONS = {"completion": semconv.TEXT_COMPLETION, "embedding": semconv.EMBEDDINGS, "rerank": "rerank"}

_COUNTS = (
    aliases.INPUT, aliases.OUTPUT, aliases.CACHE_READ, aliases.CACHE_WRITE, aliases.REASONING,
)  # fmt: skip
_PARAMETERS = "llm.invocation_parameters"

_Attributes = Mapping[str, Any]


def source_of(span: ReadableSpan) -> Source | None:
    """What is known of who made `span`; None where it is nobody whose calls we look at."""
    scope = span.instrumentation_scope
    return SOURCES.get(scope.name) if scope is not None else None


def is_call(span: ReadableSpan, source: Source) -> bool:
    """Whether `span` stands for one call of a model, as far as can be told now."""
    given: _Attributes = span.attributes or {}
    for name, calls in ((semconv.OPERATION, _CALLS), ("llm.request.type", _CALLS), ("openinference.span.kind", _KINDS)):
        if name in given:
            return given[name] in calls
    return span.name.startswith(source.calls) if source.calls else False


def asked(span: ReadableSpan) -> Call:
    """The call, by what its span says at its start: often the model, sometimes the output limit. Never its content."""
    given: _Attributes = span.attributes or {}
    parameters = _parameters(given)
    model = _first(given, aliases.REQUEST_MODEL) or parameters.get("model")
    limit = _whole(given.get(semconv.REQUEST_MAX_TOKENS) or parameters.get("max_tokens"))
    return Call(
        operation=_operation(given),
        model=model if isinstance(model, str) and model else None,
        max_output_tokens=limit or 1,
        body={},
    )


def answered(span: ReadableSpan, source: Source) -> Answer:
    """What the call used, by what its span says at its end."""
    given: _Attributes = span.attributes or {}
    model, tier = given.get(semconv.RESPONSE_MODEL), _first(given, aliases.TIER)
    tier = tier if isinstance(tier, str) else None
    usage = _usage(given, source)
    return Answer(
        usage=usage if isinstance(usage, Usage) else None,
        missing=None if isinstance(usage, Usage) else usage,
        model=model if isinstance(model, str) and model else None,
        terms=(("service_tier", tier),) if tier is not None else (),
        tier=tier,
    )


def address(span: ReadableSpan) -> str | None:
    """Where the call went, as a URL; None where the span does not say."""
    given: _Attributes = span.attributes or {}
    server = given.get(semconv.SERVER_ADDRESS)
    return f"https://{server}" if isinstance(server, str) and server else None


def failure(span: ReadableSpan) -> str | None:
    """The `error.type` of the call; None where it did not fail. Some say only that it did, or what in an event."""
    if span.status.status_code is not StatusCode.ERROR:
        return None
    said = (span.attributes or {}).get(semconv.ERROR_TYPE)
    if not isinstance(said, str):
        raised = ((event.attributes or {}).get("exception.type") for event in reversed(span.events))
        said = next((kind for kind in raised if isinstance(kind, str)), "")
    return said if 0 < len(said) <= 200 else "_OTHER"


def _usage(given: _Attributes, source: Source) -> Usage | str:
    """The disjoint counts, or why there are none."""
    found = [
        _first(given, known)
        for known in (
            aliases.INPUT,
            aliases.OUTPUT,
            aliases.CACHE_READ,
            aliases.CACHE_WRITE,
            aliases.REASONING,
        )
    ]
    if found[0] is None:
        return "the span has no usage"
    counts = [_whole(value) if value is not None else 0 for value in found]
    whole = [count for count in counts if count is not None]
    if len(whole) < len(counts):
        return "the span's token counts are malformed"
    if any(given.get(name) for name in aliases.AUDIO):
        return "the span does not say how its audio tokens and its other tokens overlap"
    total, output, read, write, reasoning = whole
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


def _operation(given: _Attributes) -> str:
    said = given.get(semconv.OPERATION) or given.get("llm.request.type")
    if said is None and given.get("openinference.span.kind") == "EMBEDDING":
        return semconv.EMBEDDINGS
    return _OPERATIONS.get(str(said), str(said)) if said is not None else semconv.CHAT


def _parameters(given: _Attributes) -> Mapping[str, Any]:
    """The request's parameters as OpenInference writes them down: JSON."""
    text = given.get(_PARAMETERS)
    if not isinstance(text, str) or len(text) > 20_000:
        return {}
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", parsed) if isinstance(parsed, dict) else {}


def _first(given: _Attributes, known: tuple[str, ...]) -> Any:
    return next((given[name] for name in known if name in given), None)


def _whole(value: Any) -> int | None:
    """`value` as a count; some write 100.0. None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e15 or value != int(value):
        return None
    return int(value)
