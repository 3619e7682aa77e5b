"""Gemini's requests: where their fields are, which tier they ask for, and how they are changed before they are sent.

The half of `gemini` that knows nothing of answers; called by it alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote as escaped

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Call
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import get, items
from otel_agentcost.wire.format import CannotRewrite, Change
from otel_agentcost.wire.rewriting import NO_OTHER_VECTORS, Rewritten, copied, fit_thinking, kept, lower

__all__ = ["TABLE", "asked", "either", "embedding_config", "last", "model_in", "rewrite", "snake", "word"]


def either(value: Any, name: str) -> Any:
    """The field that JSON calls `name`, from JSON or from an SDK object."""
    found = get(value, name)
    return get(value, snake(name)) if found is None else found


_SNAKE: dict[str, str] = {}


def snake(name: str) -> str:
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
    """`models/gemini-2.5-flash:generateContent`, or that with a project, a location and a publisher before it."""
    resource = path.partition("?")[0].rpartition(":")[0]
    return last(resource) if resource else None


def last(resource: str | None) -> str | None:
    return resource.rpartition("/")[2] or None if resource else None


def embedding_config(body: Any) -> Any:
    """Where an embedding request keeps its settings: in itself, in a config, in its parts, or in `parameters`."""
    for place in (
        either(body, "embedContentConfig"),
        get(body, "parameters"),
        next(iter(items(body, "requests")), None),
    ):
        if place is not None:
            return place
    return body


def word(value: Any, known: Mapping[str, str]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    word = str(getattr(value, "value", value))
    return known.get(word) or word.lower().removeprefix("service_tier_")


def asked(body: Any) -> tuple[tuple[str, str], ...]:
    """The tier that the request asks for, where its price is another than the list's."""
    if type(body) is dict and "serviceTier" not in body and "service_tier" not in body and "config" not in body:
        return ()
    tier = word(either(body, "serviceTier") or get(get(body, "config"), "service_tier"), {})
    return (("service_tier", tier),) if tier in ("flex", "priority") else ()


# --- Changing them ----------------------------------------------------------------------------------------------------

_PATH: Final = re.compile(r"((?:v\d\w*/)?models/|(?:.*/)?publishers/[^/]+/models/)([^/:?]+)(:.*)", re.DOTALL)
"""Where a path names a provider's own model: tuned models and endpoints are the application's, and no other's place."""


def rewrite(call: Call, path: str, change: Change) -> Rewritten:
    """The same request with `change` made in it."""
    body = copied(call)
    if change.model is not None:
        path = _renamed(call, body, path, change.model)
    if change.max_output_tokens is not None:
        if call.operation == semconv.EMBEDDINGS or ":predict" in path:
            return kept(call, path, Change(max_output_tokens=change.max_output_tokens))
        _lower(call, body, change.max_output_tokens)
    return body, path


def _renamed(call: Call, body: Mapping[str, Any], path: str, model: str) -> str:
    """`path` for `model`. Raises `CannotRewrite`."""
    if call.operation == semconv.EMBEDDINGS:
        raise CannotRewrite(NO_OTHER_VECTORS)
    found, name = _PATH.fullmatch(path), model.removeprefix("models/")
    if found is None or "model" in body or "/" in name:
        raise CannotRewrite("its path does not name a model of the provider's")
    if either(body, "cachedContent"):
        raise CannotRewrite("what it has cached belongs to its model")
    return f"{found[1]}{escaped(name, safe='@')}{found[3]}"


_LEAST_THINKING: Final = 512
"""What every model that takes a `thinkingBudget` takes for one (Flash-Lite; others take less)."""


def _lower(call: Call, body: dict[str, Any], most: int) -> None:
    """Lowers the output limit, and the budget for thoughts, which count within it."""
    places = [name for name in ("generationConfig", "generation_config", "config") if body.get(name) is not None]
    place = places[0] if places else "generationConfig"
    given: Any = body.get(place) or {}
    if not isinstance(given, Mapping):
        raise CannotRewrite(f"its {place} is no JSON object")
    settings = dict(cast("Mapping[str, Any]", given))
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
