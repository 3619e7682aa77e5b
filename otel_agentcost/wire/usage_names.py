"""The names that providers and gateways give to the counts of OpenAI's formats: the one list of them.

A row is the path of a field in the usage, the meaning of its value, and the page that documents it. Several names of
one meaning say the same, so the largest of them counts: gateways fill one and leave a 0 in another. To support another
name, add a row. `wire.openai_usage` makes disjoint counts of the meanings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple

from otel_agentcost.wire.fields import (
    MAX_COUNT,
    Malformed,
    entries,
    fields,
    get,
    lacks_fields,
    quantity,
    quote,
    whole,
)

__all__ = [
    "HEADERS",
    "PLACES",
    "ROWS",
    "Found",
    "Meaning",
    "Place",
    "Row",
    "found_in",
    "has_counts",
    "of_choices",
    "usage_at",
    "usage_elsewhere",
]

Meaning = Literal[
    "input",
    "output",
    "total",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write_12h",
    "cache_miss",
    "input_audio",
    "input_image",
    "input_video",
    "output_audio",
    "output_image",
    "output_video",
    "reasoning",
    "citations",
    "web_searches",
    "input_audio_seconds",
    "audio_seconds",
    "input_characters",
    "input_document_pages",
    "input_text_messages",
]


class Row(NamedTuple):
    """One name of a count."""

    path: str
    """The field in the usage; a dot leads into an object."""
    meaning: Meaning
    source: str
    """The page or the project that documents it."""


_OPENAI: Final = "https://platform.openai.com/docs/api-reference/chat/object"
_RESPONSES: Final = "https://platform.openai.com/docs/api-reference/responses/object"
_REALTIME: Final = "https://platform.openai.com/docs/api-reference/realtime-server-events/response/done"
_ANTHROPIC: Final = "https://docs.claude.com/en/api/messages#response-usage"
_LITELLM: Final = "https://docs.litellm.ai/docs/completion/prompt_caching"
_OPENROUTER: Final = "https://openrouter.ai/docs/use-cases/usage-accounting"
_REQUESTY: Final = "https://docs.requesty.ai/features/auto-caching"
_ALIBABA: Final = "https://www.alibabacloud.com/help/en/model-studio/context-cache"
_DEEPSEEK: Final = "https://api-docs.deepseek.com/guides/kv_cache"
_MOONSHOT: Final = "https://platform.moonshot.ai/docs/api/chat"
_XAI: Final = "https://docs.x.ai/docs/key-information/consumption-and-rate-limits"
_PERPLEXITY: Final = "https://docs.perplexity.ai/api-reference/chat-completions-post"
_MISTRAL: Final = "https://docs.mistral.ai/api/endpoint/chat"
_MISTRAL_OCR: Final = "https://docs.mistral.ai/api/endpoint/ocr"
_LLAMA: Final = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"
_NEW_API: Final = "https://github.com/QuantumNous/new-api/blob/main/dto/openai_response.go"
_GENAI_PRICES: Final = "https://github.com/pydantic/genai-prices"

_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details")
"""The details of the input: OpenAI's two names, and those of gateways that write them in the singular."""
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details", "output_tokens_details", "completion_token_details", "output_token_details",
)  # fmt: skip

_IN_DETAILS: Final[tuple[tuple[str, Meaning, str], ...]] = (
    ("cached_tokens", "cache_read", _OPENAI),
    ("cache_read_input_tokens", "cache_read", _PERPLEXITY),
    ("cache_read_tokens", "cache_read", _OPENROUTER),
    ("cache_write_tokens", "cache_write", _OPENAI),
    ("cache_creation_tokens", "cache_write", _LITELLM),
    ("cache_creation_input_tokens", "cache_write", _ALIBABA),
    ("caching_tokens", "cache_write", _REQUESTY),
    ("cached_creation_tokens", "cache_write", _NEW_API),
    ("created_cache_tokens", "cache_write", "https://github.com/BerriAI/litellm/pull/38691"),
    ("cache_creation_token_details.ephemeral_5m_input_tokens", "cache_write_5m", _LITELLM),
    ("cache_creation_token_details.ephemeral_1h_input_tokens", "cache_write_1h", _LITELLM),
    ("cache_creation.ephemeral_5m_input_tokens", "cache_write_5m", _ALIBABA),
    ("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h", _ALIBABA),
    ("caching_token_details.caching_5m_tokens", "cache_write_5m", _REQUESTY),
    ("caching_token_details.caching_1h_tokens", "cache_write_1h", _REQUESTY),
    ("cache_write_tokens_details.ttl_12h_tokens", "cache_write_12h", _RESPONSES),
    ("audio_tokens", "input_audio", _OPENAI),
    ("image_tokens", "input_image", _REALTIME),
    ("video_tokens", "input_video", _ALIBABA),
)
_IN_OUTPUT_DETAILS: Final[tuple[tuple[str, Meaning], ...]] = (
    ("reasoning_tokens", "reasoning"),
    ("audio_tokens", "output_audio"),
    ("image_tokens", "output_image"),
    ("video_tokens", "output_video"),
)

ROWS: Final[tuple[Row, ...]] = (
    Row("prompt_tokens", "input", _OPENAI),
    Row("completion_tokens", "output", _OPENAI),
    Row("total_tokens", "total", _OPENAI),
    Row("input_tokens", "input", _RESPONSES),
    Row("output_tokens", "output", _RESPONSES),
    Row("prompt_n", "cache_miss", _LLAMA),
    Row("predicted_n", "output", _LLAMA),
    Row("reasoning_tokens", "reasoning", _PERPLEXITY),
    Row("citation_tokens", "citations", _PERPLEXITY),
    Row("num_search_queries", "web_searches", _PERPLEXITY),
    # Tokens that were read from a cache.
    Row("cached_tokens", "cache_read", _MOONSHOT),
    Row("cache_n", "cache_read", _LLAMA),
    Row("prompt_cache_hit_tokens", "cache_read", _DEEPSEEK),
    Row("prompt_cache_miss_tokens", "cache_miss", _DEEPSEEK),
    Row("cache_read_input_tokens", "cache_read", _ANTHROPIC),
    Row("cache_read_tokens", "cache_read", _OPENROUTER),
    Row("cached_prompt_text_tokens", "cache_read", _XAI),
    Row("num_cached_tokens", "cache_read", "https://github.com/symfony/ai/issues/2274"),
    # Tokens that were written to a cache.
    Row("cache_creation_input_tokens", "cache_write", _ANTHROPIC),
    Row("cache_write_input_tokens", "cache_write", _ANTHROPIC),
    Row("cache_creation_tokens", "cache_write", _LITELLM),
    Row("cache_write_tokens", "cache_write", _OPENROUTER),
    Row("cache_creation.ephemeral_5m_input_tokens", "cache_write_5m", _ANTHROPIC),
    Row("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h", _ANTHROPIC),
    Row("claude_cache_creation_5_m_tokens", "cache_write_5m", _NEW_API),
    Row("claude_cache_creation_1_h_tokens", "cache_write_1h", _NEW_API),
    # Units besides tokens for which the price book has prices.
    Row("prompt_audio_seconds", "input_audio_seconds", _MISTRAL),
    Row("audio_seconds", "audio_seconds", _XAI),
    Row("billable_audio_seconds", "audio_seconds", _GENAI_PRICES),
    Row("input_characters", "input_characters", _GENAI_PRICES),
    Row("pages_processed", "input_document_pages", _MISTRAL_OCR),
    Row("input_text_messages", "input_text_messages", _GENAI_PRICES),
    *(Row(f"{details}.{name}", meaning, source) for details in _DETAILS for name, meaning, source in _IN_DETAILS),
    *(
        Row(f"{details}.{name}", meaning, _OPENAI)
        for details in _OUTPUT_DETAILS
        for name, meaning in _IN_OUTPUT_DETAILS
    ),
)

_BEDROCK: Final = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html"
_TGI: Final = "https://github.com/huggingface/text-generation-inference/blob/main/router/src/server.rs"

HEADERS: Final[tuple[Row, ...]] = (
    Row("x-amzn-bedrock-input-token-count", "input", _BEDROCK),
    Row("x-amzn-bedrock-output-token-count", "output", _BEDROCK),
    Row("x-amzn-bedrock-cache-read-input-token-count", "cache_read", _BEDROCK),
    Row("x-amzn-bedrock-cache-write-input-token-count", "cache_write", _BEDROCK),
    Row("x-prompt-tokens", "input", _TGI),
    Row("x-generated-tokens", "output", _TGI),
)
"""Response headers with counts, for a body without them. Bedrock's input excludes cached tokens."""


class Place(NamedTuple):
    """A place of the usage in a response or in an event of a stream."""

    path: tuple[str, ...]
    """Fields that lead to the usage. In a list, every element is looked at."""
    source: str


_CLOUDFLARE: Final = "https://developers.cloudflare.com/workers-ai/models/"

PLACES: Final[tuple[Place, ...]] = (
    Place(("usage",), _OPENAI),
    Place(("choices", "usage"), _MOONSHOT),
    Place(("choices", "message", "usage"), _MOONSHOT),
    Place(("choices", "delta", "usage"), _MOONSHOT),
    Place(("x_groq", "usage"), "https://console.groq.com/docs/api-reference#chat-create"),
    Place(("message", "usage"), _ANTHROPIC),
    Place(("response", "usage"), _RESPONSES),
    Place(("result", "usage"), _CLOUDFLARE),
    Place(("usage_info",), _MISTRAL_OCR),
    Place(("timings",), _LLAMA),
)
"""The places, in their order: the first with a count above 0 is the usage. Those with one first field follow each
other. Without one, any object with counts of input and output is it.
"""
_ELSEWHERE: Final[dict[str, list[tuple[str, ...]]]] = {}
"""The further fields of the paths of all places but the usual one, by their first field."""
for _place in PLACES[1:]:
    _ELSEWHERE.setdefault(_place.path[0], []).append(_place.path[1:])
_CONTENT: Final = frozenset({"choices", "output", "content", "candidates", "data", "error", "messages"})
"""Fields with content, in which nothing else is looked for."""
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_DEPTH: Final = 2
"""Objects within objects in which counts are looked for."""

_COUNTS: Final = range(MAX_COUNT + 1)
_MEASURED: Final = frozenset({"input_audio_seconds", "audio_seconds"})
_STATED: Final = frozenset({"input", "output", "total", "cache_miss", "citations", "web_searches"})
"""Meanings of which a 0 says something: that the usage has this count."""
_UNITS: Final = (
    "_seconds", "_minutes", "_hours", "_pages", "_pixels", "_characters", "_images", "_frames", "_videos",
    "image_count", "video_count", "page_count", "character_count",
)  # fmt: skip
"""Endings of the names of units besides tokens. A count of one that has no row is named, because it may be billed."""


class _Names(NamedTuple):
    """The known names in a usage, or in an object of a usage."""

    counts: dict[str, Meaning]
    measured: dict[str, Meaning]
    objects: dict[str, _Names]


def _tree(rows: Iterable[Row]) -> _Names:
    tree = _Names({}, {}, {})
    for row in rows:
        *objects, name = row.path.split(".")
        place = tree
        for each in objects:
            place = place.objects.setdefault(each, _Names({}, {}, {}))
        (place.measured if row.meaning in _MEASURED else place.counts)[name] = row.meaning
    return tree


_TREE: Final = _tree(ROWS)


Given = Mapping[str, Any]
"""The counts that a usage has, by meaning: integers, and seconds as `Decimal`. Most zeros are left out."""


class Found(NamedTuple):
    """The counts of one usage."""

    counts: Given
    others: tuple[str, ...]
    """Units with a count that no row knows, for people: `("3 input_pixels",)`."""


def found_in(usage: Any) -> Found:
    """Return what a usage counts, by meaning.

    Raises:
        Malformed: A value is not a count, or an object of counts is none.
    """
    counts: dict[str, Any] = {}
    others: list[str] = []
    given: Any = fields(usage)
    _collect(given if type(given) is dict else _looked_up(given, _TREE), _TREE, counts, others)  # pyright: ignore[reportUnknownArgumentType]
    return Found(counts, tuple(others) if others else ())


def _collect(given: dict[str, Any], names: _Names, counts: dict[str, Any], others: list[str]) -> None:
    known = names.counts
    for name, number in given.items():
        if number is None:
            continue
        meaning = known.get(name)
        if meaning is None:
            _collect_other(name, number, names, counts, others)
            continue
        if type(number) is not int or number not in _COUNTS:  # in this order: the range searches for other types
            number = whole(name, number)  # noqa: PLW2901 (no further variable: hot)
        if number > counts.get(meaning, 0):
            counts[meaning] = number
        elif meaning in _STATED:
            counts.setdefault(meaning, number)


def _collect_other(name: Any, value: Any, names: _Names, counts: dict[str, Any], others: list[str]) -> None:
    """Collect the counts in an object, a measured quantity, a count in another spelling, or a unit without a row."""
    spelled = name
    if name not in names.objects and name not in names.measured:
        if not value or type(name) is not str:
            return
        spelled = _spelled(name)
    if (inside := names.objects.get(spelled)) is not None:
        _collect_inside(name, value, inside, counts, others)
    elif (meaning := names.counts.get(spelled)) is not None:
        counts[meaning] = max(whole(name, value), counts.get(meaning, 0))
    elif (meaning := names.measured.get(spelled)) is not None:
        if (seconds := quantity(name, value)) > counts.get(meaning, 0):
            counts[meaning] = seconds
    elif type(value) in (int, float) and (name.endswith(_UNITS) or ("cach" in name and name.endswith("_tokens"))):
        others.append(f"{value} {name}")


def _collect_inside(name: str, value: Any, names: _Names, counts: dict[str, Any], others: list[str]) -> None:
    """Collect the counts in an object. An empty value of another type has none: PHP writes an empty object as a list.

    Raises:
        Malformed: The value is no object, and not empty.
    """
    given: Any = fields(value)
    if type(given) is dict:
        _collect(given, names, counts, others)  # pyright: ignore[reportUnknownArgumentType]
    elif not lacks_fields(value):
        _collect(_looked_up(value, names), names, counts, others)
    elif value:
        raise Malformed(f"{name} is {quote(value)}, which is not an object")


def _looked_up(value: Any, names: _Names) -> dict[str, Any]:
    """Return the known fields of an object without a dict of its fields."""
    return {name: get(value, name) for known in names for name in known}


def _spelled(name: str) -> str:
    """Return a name as the rows spell it: `promptTokens` and `promptTokenCount` are `prompt_tokens`."""
    if not name.islower():
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return f"{name[:-6]}s" if name.endswith("_token_count") else name


def _mapping(value: Any) -> dict[str, Any] | None:
    """Return the fields of an object; None if it has none."""
    given = fields(value)
    return given if type(given) is dict else None  # pyright: ignore[reportUnknownVariableType]


# --- Places -----------------------------------------------------------------------------------------------------------


def usage_at(response: Any) -> Any:
    """Return the `fields` of the usage of a response, or of an event, from any place; None if it has none.

    Usages of several choices are those of one call: the same input, and the output of each.
    """
    usage = fields(get(response, "usage"))
    if usage is not None and (get(usage, "prompt_tokens") or get(usage, "input_tokens") or has_counts(usage)):
        return usage
    elsewhere = usage_elsewhere(response)
    return usage if elsewhere is None or (usage is not None and not has_counts(elsewhere)) else elsewhere


def usage_elsewhere(response: Any) -> Any:
    """Return the usage of a response, or of an event, from any place but its usual one; None if it has none."""
    first: Any = None
    given = fields(response)
    for name in filter(given.__contains__, _ELSEWHERE) if type(given) is dict else _ELSEWHERE:
        parts = _parts(get(given, name))
        for rest in _ELSEWHERE[name] if parts else ():
            found = [usage for part in parts for usage in _follow(part, rest)]
            if not found:
                continue
            usage = found[0] if len(found) == 1 else of_choices(found)
            if has_counts(usage):
                return usage
            first = usage if first is None else first
    anywhere = _anywhere(given, _DEPTH)
    return first if anywhere is None else anywhere


def _anywhere(value: Any, depth: int) -> Any:
    """Return an object with counts of input and output within `value`, but not within its content; None without one."""
    for name, inside in entries(value).items():
        within = None if name in _CONTENT or type(inside) in _SCALARS else _mapping(inside)
        if not within:
            continue
        with suppress(Malformed):
            counts = found_in(within).counts
            if counts.get("output") and (counts.get("input") or counts.get("cache_miss")):
                return within
        if depth and (found := _anywhere(within, depth - 1)) is not None:
            return found
    return None


def _parts(value: Any) -> list[Any]:
    """Return the `fields` of a value, or of each element of a list; nothing for null and an empty list."""
    parts: Any = value if isinstance(value, (list, tuple)) else (value,)  # pyright: ignore[reportUnknownVariableType]
    return [fields(part) for part in parts if part is not None]


def _follow(value: Any, path: tuple[str, ...]) -> list[Any]:
    if not path:
        return [value]
    return [each for part in _parts(get(value, path[0])) for each in _follow(part, path[1:])]


def has_counts(usage: Any) -> bool:
    """Return True if a usage has any count above 0."""
    given = _mapping(usage)
    return given is not None and any(type(number) is int and number > 0 for number in given.values())


def of_choices(usages: list[Any]) -> Any:
    """Return the usage of a call whose choices have a usage each."""
    each = [given for usage in usages if (given := _mapping(usage)) is not None]
    if not each or all(usage == each[0] for usage in each):
        return usages[0]
    produced = [usage.get("completion_tokens") for usage in each]
    if not all(type(number) is int for number in produced):
        return usages[-1]
    together = {**each[0], "completion_tokens": sum(number for number in produced if number is not None)}
    together.pop("total_tokens", None)
    return together
