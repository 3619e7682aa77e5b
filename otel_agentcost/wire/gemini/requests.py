"""Gemini's requests: the places of their fields, the requested tier, and how to change a request before it is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote as escaped

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Call
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import get, items
from otel_agentcost.wire.format import CannotRewrite, Change, Rewritten
from otel_agentcost.wire.rewriting import NO_OTHER_VECTORS, copied, fit_thinking, lower, unchanged

__all__ = [
    "REWRITING",
    "TABLE",
    "either",
    "embedding_config",
    "last_segment",
    "model_in",
    "requested_terms",
    "snake",
    "word",
]


def either(value: Any, name: str) -> Any:
    """Return the field that JSON calls `name`, from JSON or from an SDK object."""
    inner = get(value, name)
    return get(value, snake(name)) if inner is None else inner


_SNAKE: dict[str, str] = {}


def snake(name: str) -> str:
    """Return the `snake_case` name of an SDK object for a `camelCase` name."""
    known = _SNAKE.get(name)
    if known is None:
        known = _SNAKE[name] = re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
    return known


def _mime(value: Any) -> AttributeValue | None:
    return "json" if value == "application/json" else "text" if value == "text/plain" else None


def _modalities(value: Any) -> AttributeValue | None:
    kinds = {kind.upper() for kind in parameters.strings(value) or ()}
    return "image" if "IMAGE" in kinds else "speech" if "AUDIO" in kinds else None


_TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "topP": (semconv.REQUEST_TOP_P, parameters.number),
    "topK": (semconv.REQUEST_TOP_K, parameters.whole),
    "maxOutputTokens": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "candidateCount": (semconv.REQUEST_CHOICES, parameters.several),
    "stopSequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
    "frequencyPenalty": (semconv.REQUEST_FREQUENCY_PENALTY, parameters.number),
    "presencePenalty": (semconv.REQUEST_PRESENCE_PENALTY, parameters.number),
    "seed": (semconv.REQUEST_SEED, parameters.integer),
    "responseMimeType": (semconv.OUTPUT_TYPE, _mime),
    "responseModalities": (semconv.OUTPUT_TYPE, _modalities),
    "thinkingConfig": (semconv.REQUEST_REASONING_LEVEL, parameters.field("thinkingLevel")),
    "outputDimensionality": (semconv.EMBEDDING_DIMENSIONS, parameters.integer),
}
TABLE: Final[parameters.Table] = {**_TABLE, **{snake(name): row for name, row in _TABLE.items()}}


def model_in(path: str) -> str | None:
    """Return the model in `models/gemini-2.5-flash:generateContent`, also after a project, location and publisher."""
    resource = path.partition("?")[0].rpartition(":")[0]
    return last_segment(resource) if resource else None


def last_segment(resource: str | None) -> str | None:
    """Return the last segment of a resource name; None if there is none."""
    return resource.rpartition("/")[2] or None if resource else None


def embedding_config(body: Any) -> Any:
    """Return the settings of an embedding request: itself, a config, its first part, or `parameters`."""
    for place in (
        either(body, "embedContentConfig"),
        get(body, "parameters"),
        next(iter(items(body, "requests")), None),
    ):
        if place is not None:
            return place
    return body


def word(value: Any, known: Mapping[str, str]) -> str | None:
    """Return an enumeration's member by its name in `known`, or in lower case; None if it is no text."""
    if not isinstance(value, str) or not value:
        return None
    word = str(getattr(value, "value", value))
    return known.get(word) or word.lower().removeprefix("service_tier_")


def requested_terms(body: Any) -> tuple[tuple[str, str], ...]:
    """Return the requested tier if its price differs from the list price."""
    if type(body) is dict and "serviceTier" not in body and "service_tier" not in body and "config" not in body:
        return ()
    tier = word(either(body, "serviceTier") or get(get(body, "config"), "service_tier"), {})
    return (("service_tier", tier),) if tier in ("flex", "priority") else ()


# --- Rewriting --------------------------------------------------------------------------------------------------------

_PATH: Final = re.compile(r"((?:v\d\w*/)?models/|(?:.*/)?publishers/[^/]+/models/)([^/:?]+)(:.*)", re.DOTALL)
"""The place of a provider's own model in a path. Tuned models and endpoints belong to the application."""


class _GeminiRewriting:
    """The facet `rewriting`."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if change.model is not None:
            path = _renamed(call, body, path, change.model)
        if change.max_output_tokens is not None:
            if call.operation == semconv.EMBEDDINGS or ":predict" in path:
                return unchanged(call, path, Change(max_output_tokens=change.max_output_tokens))
            _lower(call, body, change.max_output_tokens)
        return body, path


REWRITING: Final = _GeminiRewriting()


def _renamed(call: Call, body: Mapping[str, Any], path: str, model: str) -> str:
    """Return `path` for `model`. Raises `CannotRewrite`."""
    if call.operation == semconv.EMBEDDINGS:
        raise CannotRewrite(NO_OTHER_VECTORS)
    match, name = _PATH.fullmatch(path), model.removeprefix("models/")
    if match is None or "model" in body or "/" in name:
        raise CannotRewrite("its path does not name a model of the provider's")
    if either(body, "cachedContent"):
        raise CannotRewrite("what it has cached belongs to its model")
    return f"{match[1]}{escaped(name, safe='@')}{match[3]}"


_LEAST_THINKING: Final = 512
"""The lowest `thinkingBudget` that every model with one accepts (Flash-Lite; others accept less)."""


def _lower(call: Call, body: dict[str, Any], most: int) -> None:
    """Lower the output limit, and the budget for reasoning, which counts within it."""
    places = [name for name in ("generationConfig", "generation_config", "config") if body.get(name) is not None]
    place = places[0] if places else "generationConfig"
    value: Any = body.get(place) or {}
    if not isinstance(value, Mapping):
        raise CannotRewrite(f"its {place} is no JSON object")
    settings = dict(cast("Mapping[str, Any]", value))
    default = "maxOutputTokens" if place == "generationConfig" else "max_output_tokens"
    most = lower(settings, ("maxOutputTokens", "max_output_tokens"), most, default=default)
    fit_thinking(
        settings,
        ("thinkingConfig", "thinking_config"),
        ("thinkingBudget", "thinking_budget"),
        before=call.max_output_tokens,
        most=most,
        least=_LEAST_THINKING,
    )
    body[place] = settings
