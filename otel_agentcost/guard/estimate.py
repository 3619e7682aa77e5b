"""What a call can cost at most, worked out from its request before it is made. Pure: no clock, no ledger, no I/O.

Two forms of the input: a bound, which is quick and never below what the provider will count, and a count, which is
near it. The guard asks for the bound first, and counts only where the bound does not fit.

The bound rests on this: a token of a text is at least one byte of it in UTF-8, in every vocabulary in use. What
stands round the text (roles, separators, the instructions for tools) and each image has an allowance, documented
below. What cannot be bounded from the request alone (history kept at the provider, documents, video, tools that
the provider runs and whose results it bills as input) makes the bound None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.core import money
from otel_agentcost.core.call import Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Count, Kind, Usage
from otel_agentcost.wire.fields import get
from otel_agentcost.wire.prompt_tokens import count_prompt

__all__ = ["Estimate", "Price", "Shape", "input_bound", "input_count", "output_bound", "shape_of", "worst_case"]

PER_CALL: Final = 64
"""Round the whole conversation: its start, the answer's start, a date or a line of instructions that providers add."""

PER_OBJECT: Final = 12
"""Round each object of the request (a message, a part of one, a tool, a property of a schema): roles, separators, what
a provider writes round it where it shows it to the model. The object's own keys count as text besides."""

PER_TOOLS: Final = 1_200
"""Where there are tools: the instructions for their use. Anthropic documents up to 804 tokens for a model with its
built-in tools, 346 for others; nobody documents more."""

PER_IMAGE: Final = 50_000
"""An image of any size. The dearest documented is gpt-4o-mini's: 2,833 tokens and 5,667 for each of at most 8 tiles."""

MARGIN: Final = 1.25
"""What a count is multiplied with before it is held: it is an estimate, and may be below the truth."""
MARGIN_TOKENS: Final = 100
MARGIN_PER_IMAGE: Final = 850
"""The count takes an image of unknown size for one of 765 tokens; Anthropic's usual ones are up to 1,600."""

_ELSEWHERE: Final = frozenset(
    {
        "previous_response_id",
        "conversation",
        "cachedContent",
        "cached_content",
        "container",
        "mcp_servers",
        "web_search_options",
        "thread",
    }
)
"""Fields that bring in what is kept at the provider, or found by it; a thread that is only created brings nothing."""

_SEARCHERS: Final = re.compile("-search-|sonar")
"""Models that search the web for every request: OpenAI's, and Perplexity's."""

_IMAGES: Final = frozenset({"image", "image_url", "input_image", "computer_screenshot", "image_generation_call"})
_SOUNDS: Final = frozenset({"audio", "input_audio"})
_OPAQUE: Final = frozenset({"document", "file", "input_file", "video", "container_upload", "item_reference"})
_LINKED: Final = frozenset({"fileData", "file_data"})
_INLINE: Final = frozenset({"inlineData", "inline_data"})
_OWN_TOOLS: Final = frozenset({"function", "custom", None})
_DEEPEST: Final = 100

_MEDIUM: Final = re.compile(
    r'"type": "(?:'
    + "|".join(sorted(_IMAGES | _SOUNDS | _OPAQUE))
    + r')"|"(?:'
    + "|".join(sorted(_INLINE | _LINKED))
    + r')"|"audio": \{(?!"voice"|"format")'
)
"""How JSON looks in which something is that is no text. Text that merely looks so is read more slowly, and no more."""
_TOOLS: Final = re.compile(r'"(?:tools|functions)"')
_SPECIAL: Final = _INLINE | _LINKED | {"type"}
"""What at the top of a request would make all of it something else than text."""
_MODALITIES: Final = frozenset({"modalities", "generationConfig", "generation_config", "config"})
"""Where a request says in what form it wants its answer."""
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_NUMBER: Final = 8
_MESSAGE: Final = PER_OBJECT + len("role") + len("content")


Price = Callable[[Usage, "str | None"], Cost]
"""What a usage costs with a model (the name that would be asked for)."""


class _Unbounded(Exception):
    """Something in the request says nothing of its size."""


class Estimate(NamedTuple):
    """What a call can take at most."""

    usd: int | None
    """In billionths of a dollar; None where it has no price, and then `unpriced` says why."""
    tokens: int
    unpriced: str | None = None
    untold: bool = False
    """Whether its dollars depend on what the request does not tell: for how long somebody speaks, say."""


# --- Input ------------------------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """What the size and the kinds of a call's input depend on, read once."""

    bound: int | None
    """See `input_bound`."""
    caches: bool
    """Whether it may write to a cache that the request has to ask for."""
    sounds: bool
    """Whether there may be audio in it."""


def input_bound(call: Call) -> int | None:
    """More input tokens than this the provider cannot count; None where the request does not tell."""
    return shape_of(call).bound


def shape_of(call: Call) -> Shape:
    """Reads the request. Messages of text alone tell their size. The rest is nearly always JSON without media: its text
    is as long as its bound, and C measures it twenty times as fast as a walk does.
    """
    body = call.body
    try:
        size, rest = _plain(body)
        if size and not rest:
            return Shape(bound=None if _elsewhere(body) else PER_CALL + size, caches=False, sounds=False)
        text: str = json.dumps(rest)
    except (TypeError, ValueError, RecursionError):  # SDK objects, bytes, or nested without end
        return Shape(bound=_walked(body), caches=True, sounds=True)
    caches, media = '"cache_control"' in text, _MEDIUM.search(text) is not None
    if body is None or _elsewhere(body):
        bound = None
    elif media:
        bound = _walked(body)
    else:
        size += PER_CALL + len(text) + PER_OBJECT * text.count("{")
        bound = size + PER_TOOLS if _TOOLS.search(text) else size
    return Shape(bound=bound, caches=caches, sounds=media)


def _plain(body: Any) -> tuple[int, Any]:
    """The bytes of what is nothing but text in a request, with the allowances; and the rest of it."""
    if body.__class__ is not dict or not _SPECIAL.isdisjoint(body):
        return 0, body
    size, rest = PER_OBJECT, dict[str, Any]()
    for name, value in body.items():
        kind = value.__class__
        if kind is str:
            size += len(name) + _length(value)
        elif kind in _SCALARS:
            size += len(name) + _NUMBER
        elif kind is list:
            texts, others = _messages(value)
            size += len(name) + texts
            if others:
                rest[name] = others
        else:
            rest[name] = value
    return size, rest


def _messages(items: list[Any]) -> tuple[int, list[Any]]:
    """The bytes of the messages that have a role and a text and nothing else, with their allowances; and the others."""
    size, others = 0, list[Any]()
    for item in items:
        if item.__class__ is dict and len(item) == 2:
            role, content = item.get("role"), item.get("content")
            if content.__class__ is str and role.__class__ is str:
                size += _MESSAGE + len(role) + (len(content) if content.isascii() else _length(content))
                continue
        others.append(item)
    return size, others


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _walked(body: Any) -> int | None:
    try:
        total = None if body is None or _elsewhere(body) else PER_CALL + _bytes(body, 0)
    except (_Unbounded, RecursionError):
        return None
    if total is None or not (get(body, "tools") or get(body, "functions")):
        return total
    return total + PER_TOOLS


def input_count(call: Call) -> int:
    """About how many input tokens the provider will count, with a margin: for what the bound is too wide for."""
    raw = call.operation in ("embeddings", "text_completion")
    images = _images(call.body, 0) * MARGIN_PER_IMAGE
    return round(count_prompt(call.body, call.model, raw=raw) * MARGIN) + MARGIN_TOKENS + images


def _images(value: Any, depth: int) -> int:
    if depth > _DEEPEST or not isinstance(value, (Mapping, list, tuple)):
        return 0
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        kind = fields.get("type")
        if (isinstance(kind, str) and kind in _IMAGES) or not _INLINE.isdisjoint(fields):
            return 1
        return sum(_images(item, depth + 1) for item in fields.values())
    return sum(_images(item, depth + 1) for item in cast("list[Any]", value))


def _elsewhere(body: Any) -> bool:
    """Whether something counts as input that is not in the request: history and prompts that the provider keeps, or
    what its tools and its searching models find during the call.
    """
    if isinstance(get(body, "prompt"), Mapping) or _SEARCHERS.search(str(get(body, "model"))):
        return True
    if body.__class__ is dict and _ELSEWHERE.isdisjoint(body):
        if "tools" not in body:
            return False
    elif any(value and get(value, "type") != "create" for value in (get(body, name) for name in _ELSEWHERE)):
        return True
    for tool in _list(get(body, "tools")):
        kind = get(tool, "type")
        if kind not in _OWN_TOOLS or (kind is None and get(tool, "name") is None and _runs(tool)):
            return True
    return False


def _runs(tool: Any) -> bool:
    """Whether a tool of Gemini's form is more than declarations of functions."""
    fields = cast("Mapping[str, Any]", tool) if isinstance(tool, Mapping) else getattr(tool, "__dict__", {})
    declared = ("functionDeclarations", "function_declarations")
    return any(item is not None for name, item in fields.items() if name not in declared)  # {"googleSearch": {}}


def _list(value: Any) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, (list, tuple)) else []


def _bytes(value: Any, depth: int) -> int:
    """The bytes of all text in `value`, and the allowances of what is not text. Raises `_Unbounded`."""
    if isinstance(value, str):
        return _length(value)
    if value is None or isinstance(value, (bool, int, float)):
        return 1 if type(value) is int else _NUMBER  # a prompt may be given as tokens; other numbers are settings
    if depth > _DEEPEST:
        raise _Unbounded
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(_bytes(item, depth + 1) for item in cast("list[Any]", value))
    if not isinstance(value, Mapping):
        value = getattr(value, "__dict__", None)  # an SDK's object that was put into the request
        if not isinstance(value, dict):
            raise _Unbounded
    return _object(cast("Mapping[Any, Any]", value), depth)


def _object(fields: Mapping[Any, Any], depth: int) -> int:
    kind = fields.get("type")
    if isinstance(kind, str) and kind in _OPAQUE | _IMAGES | _SOUNDS:
        # A schema has fields of these names too ("file", "image"), but no type of one.
        return _medium(kind, fields, depth)
    for name in _INLINE | _LINKED:
        if name in fields and (data := fields[name]) is not None:
            return PER_OBJECT + _blob(data, linked=name in _LINKED)
    total = PER_OBJECT
    for name, item in fields.items():
        if name == "audio" and get(item, "id") is not None:  # an earlier answer, which the provider keeps
            raise _Unbounded
        total += _bytes(str(name), depth) + _bytes(item, depth + 1)
    return total


def _medium(kind: str, fields: Mapping[Any, Any], depth: int) -> int:
    """A part of a message that is no text, in the forms of OpenAI and Anthropic."""
    if kind in _IMAGES:
        return PER_OBJECT + PER_IMAGE
    if kind in _SOUNDS:
        data = get(fields.get(kind), "data")
        if isinstance(data, str):  # no provider makes a token of less than 30 ms, or a codec less than a byte of it
            return PER_OBJECT + len(data)
        raise _Unbounded
    source = fields.get("source")
    if kind == "document" and get(source, "type") in ("text", "content"):
        return PER_OBJECT + sum(_bytes(item, depth + 1) for name, item in fields.items() if name != "type")
    raise _Unbounded


def _blob(blob: Any, *, linked: bool) -> int:
    """A part of a message that is no text, in the forms of Gemini."""
    mime, data = get(blob, "mimeType") or get(blob, "mime_type"), get(blob, "data")
    family = str(mime).partition("/")[0]
    if family == "image":
        return PER_IMAGE
    if family in ("audio", "text") and not linked and isinstance(data, (str, bytes)):
        return len(data)
    raise _Unbounded


# --- Output and price -------------------------------------------------------------------------------------------------


def output_bound(call: Call) -> int | None:
    """More output tokens than this cannot come, all choices together; None where the request does not limit them."""
    if call.operation == "embeddings":
        return 0
    limit = call.max_output_tokens
    return None if limit is None else limit * max(1, call.choices)


def worst_case(
    call: Call,
    price: Price,
    *,
    input_tokens: int,
    output_tokens: int,
    shape: Shape | None = None,
) -> Estimate:
    """What these tokens cost if all of them are of the dearest kinds that this call can have."""
    dearest: Decimal | None = None
    unpriced: str | None = None
    counts: dict[Kind, Count] = {}
    usage = Usage(counts=counts)  # one for all questions, with other counts: making it costs as much as pricing it
    for out in _output_kinds(call):
        for into in _input_kinds(call, shape or shape_of(call)):
            counts.clear()
            if input_tokens:
                counts[into] = input_tokens
            if output_tokens:
                counts[out] = output_tokens
            cost = price(usage, call.model)
            if cost.usd is None:
                unpriced = unpriced or cost.unpriced
            elif dearest is None or cost.usd > dearest:
                dearest = cost.usd
    if dearest is None:
        return Estimate(None, input_tokens + output_tokens, unpriced or "it has no price")
    if not dearest:  # nothing, or nothing by the token
        usd, untold = _otherwise(call, price)
        return Estimate(money.to_nano(usd), input_tokens + output_tokens, untold=untold)
    return Estimate(money.to_nano(dearest), input_tokens + output_tokens)


def _otherwise(call: Call, price: Price) -> tuple[Decimal, bool]:
    """What a call costs that is not billed by the token, and whether that is not all."""
    spoken = get(call.body, "input")
    if isinstance(spoken, str) and spoken:
        usd = price(Usage(counts={"input_characters": len(spoken)}), call.model).usd
        if usd:
            return usd, False
    return money.ZERO, any(price(Usage(counts={kind: 1}), call.model).usd for kind in _BY_THE_SECOND)


_BY_THE_SECOND: tuple[Kind, ...] = ("input_audio_seconds", "output_audio_seconds", "audio_seconds")


def _input_kinds(call: Call, shape: Shape) -> tuple[Kind, ...]:
    """The dearest kinds that this call's input can be counted as."""
    kinds: tuple[Kind, ...]
    if "claude" not in (call.model or ""):
        kinds = _WRITTEN
    elif shape.caches:  # without being asked it writes none
        kinds = _WRITTEN_WHEN_ASKED
    else:
        kinds = _NOT_WRITTEN
    return (*kinds, "input_audio_tokens") if shape.sounds else kinds


_NOT_WRITTEN: tuple[Kind, ...] = ("input_tokens",)
_WRITTEN: tuple[Kind, ...] = ("input_tokens", "cache_write_tokens")
_WRITTEN_WHEN_ASKED: tuple[Kind, ...] = ("input_tokens", "cache_write_1h_tokens", "cache_write_5m_tokens")
_TEXT: tuple[Kind, ...] = ("output_tokens",)


def _output_kinds(call: Call) -> tuple[Kind, ...]:
    """The dearest kinds that its output can be counted as."""
    body, paints = call.body, "image" in (call.model or "")
    if body.__class__ is dict and _MODALITIES.isdisjoint(body) and not paints:
        return _TEXT
    settings = _generation(body)
    asked = get(body, "modalities") or get(settings, "responseModalities") or get(settings, "response_modalities")
    wanted = {str(item).lower() for item in _list(asked)} if asked else set[str]()
    speaks: tuple[Kind, ...] = ("output_audio_tokens",) if "audio" in wanted else ()
    draws: tuple[Kind, ...] = ("output_image_tokens",) if paints or "image" in wanted else ()
    return (*_TEXT, *speaks, *draws)


def _generation(body: Any) -> Any:
    return get(body, "generationConfig") or get(body, "generation_config") or get(body, "config")
