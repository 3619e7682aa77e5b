"""Works out the maximum cost of a call from its request, before the call. Pure: no clock, no ledger, no I/O.

There are two figures for the input: a bound, which is quick and never below what the provider counts, and a count,
which is near it. The guard uses the bound first, and the count only if the bound does not fit. Both come from the
facets of the call's wire format, `input_bound` and `prompt_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.call import Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import TextRates
from otel_agentcost.core.usage import Count, Kind, Usage
from otel_agentcost.wire.format import UNBOUNDED, Format, Shape, without_facet
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of

__all__ = ["Estimate", "Price", "Shape", "input_bound", "input_count", "output_bound", "shape_of", "worst_case"]

MARGIN: Final = 1.25
"""The factor on a count before it is reserved: a count is an estimate, and may be below the truth."""
MARGIN_TOKENS: Final = 100
MARGIN_PER_IMAGE: Final = 850
"""A count takes an image of unknown size as 765 tokens; Anthropic's usual images are up to 1,600."""

Price = Callable[[Usage, "str | None"], Cost]
"""Returns the cost of a usage with a model, called by the name in the request."""

Rates = Callable[["str | None", "tuple[Kind, ...]"], "TextRates | None"]
"""Returns the prices of text for a model, and for the kinds that its input may be counted as."""

_UNREAD: Final = Shape(bound=None)


class Estimate(NamedTuple):
    """The maximum that a call can use."""

    usd: int | None
    """In billionths of a dollar; None if the call has no price, with the reason in `unpriced`."""
    tokens: int
    unpriced: str | None = None
    untold: bool = False
    """True if the dollars depend on facts outside the request, such as the length of a recording."""


# --- Input ------------------------------------------------------------------------------------------------------------


def shape_of(call: Call, form: Format | None) -> Shape:
    """Read the facts of a request that bound its cost.

    Args:
        call: The call.
        form: Its wire format; None for a call that is known only from its span.

    Returns:
        The facts; without a format or its facet `input_bound`, the input has no bound.
    """
    if form is None:
        return _UNREAD
    facet = form.input_bound
    if facet is None:
        without_facet(form, "input_bound", "budgets reserve an estimate of its input, which may be too low")
        return UNBOUNDED
    return facet.shape(call.body)


def input_bound(call: Call, form: Format | None) -> int | None:
    """Return the input tokens that the provider cannot exceed; None if the request does not bound them."""
    return shape_of(call, form).bound


def input_count(call: Call, form: Format | None) -> int:
    """Estimate the input tokens with a margin, for a request that the bound does not fit."""
    raw = call.operation in ("embeddings", "text_completion")
    counter = PROMPT_TOKENS if form is None else prompt_tokens_of(form)
    bound = INPUT_BOUND if form is None or form.input_bound is None else form.input_bound
    images = bound.image_count(call.body) * MARGIN_PER_IMAGE
    return round(counter.count(call.body, call.model, raw=raw) * MARGIN) + MARGIN_TOKENS + images


# --- Output and price -------------------------------------------------------------------------------------------------


def output_bound(call: Call) -> int | None:
    """Return the output tokens of all choices that cannot be exceeded; None if the request does not limit them."""
    if call.operation == "embeddings":
        return 0
    limit = call.max_output_tokens
    return None if limit is None else limit * max(1, call.choices)


def worst_case_of_text(call: Call, rates: Rates, shape: Shape, output_tokens: int) -> Estimate | None:
    """Return what `worst_case` does in the usual case, in a tenth of the steps: a call of text, billed by the token.

    Args:
        call: The call.
        rates: The prices of text.
        shape: The facts about the request, with a bound.
        output_tokens: The maximum output tokens of all choices.

    Returns:
        The cost; None if only `worst_case` can tell it.
    """
    into = shape.bound
    if into is None or shape.sounds or _output_kinds(call, shape) is not _TEXT:
        return None
    found = rates(call.model, _input_kinds(call, shape))
    if found is None or into > found.up_to:
        return None
    nano = found.nano(into, output_tokens)
    return Estimate(nano, into + output_tokens) if nano else None


def worst_case(call: Call, price: Price, *, input_tokens: int, output_tokens: int, shape: Shape = _UNREAD) -> Estimate:
    """Return the cost of these tokens if all of them are of the most expensive kinds that the call can have.

    Args:
        call: The call.
        price: The price of a usage.
        input_tokens: The maximum input tokens.
        output_tokens: The maximum output tokens of all choices.
        shape: The facts about the request, from `shape_of`.
    """
    highest: Decimal | None = None
    unpriced: str | None = None
    counts: dict[Kind, Count] = {}
    usage = Usage(counts=counts)  # one object for all kinds, with other counts: creating it costs as much as pricing it
    for out in _output_kinds(call, shape):
        for into in _input_kinds(call, shape):
            counts.clear()
            if input_tokens:
                counts[into] = input_tokens
            if output_tokens:
                counts[out] = output_tokens
            cost = price(usage, call.model)
            if cost.usd is None:
                unpriced = unpriced or cost.unpriced
            elif highest is None or cost.usd > highest:
                highest = cost.usd
    if highest is None:
        return Estimate(None, input_tokens + output_tokens, unpriced or "it has no price")
    if shape.sounds:
        highest += _heard(call, price, input_tokens if shape.bound is None else shape.bound)
    if not highest:  # free, or not billed by the token
        usd, untold = _not_by_tokens(call, price, shape)
        return Estimate(money.to_nano(usd), input_tokens + output_tokens, untold=untold)
    return Estimate(money.to_nano(highest), input_tokens + output_tokens)


_SECONDS_PER_CHARACTER: Final = Decimal("0.001")
"""Seconds of sound in a character of base64. The lowest bit rate of Opus is 6 kbit/s (RFC 6716), of MP3 it is 8."""


def _heard(call: Call, price: Price, bound: int) -> Decimal:
    """Return the price of sound in a chat with a model that bills it by the second (Mistral's Voxtral)."""
    seconds: dict[Kind, Count] = {"input_audio_seconds": _SECONDS_PER_CHARACTER * bound}
    cost = price(Usage(counts=seconds), call.model)
    return money.ZERO if cost.usd is None or cost.unpriced is not None else cost.usd


def _not_by_tokens(call: Call, price: Price, shape: Shape) -> tuple[Decimal, bool]:
    """Return the cost of a call that is not billed by the token, and whether there may be more."""
    if shape.characters:
        usd = price(Usage(counts={"input_characters": shape.characters}), call.model).usd
        if usd:
            return usd, False
    return money.ZERO, any(price(Usage(counts={kind: 1}), call.model).usd for kind in _BY_SIZE)


_BY_SIZE: tuple[Kind, ...] = ("input_audio_seconds", "output_audio_seconds", "audio_seconds", "input_document_pages")
"""Kinds that count the size of an input that the request does not show."""


def _input_kinds(call: Call, shape: Shape) -> tuple[Kind, ...]:
    """Return the most expensive kinds that the input of this call can be counted as."""
    kinds: tuple[Kind, ...]
    if "claude" not in (call.model or ""):
        kinds = _WRITTEN
    elif shape.caches:  # Anthropic writes to the cache only on request
        kinds = _WRITTEN_ON_REQUEST
    else:
        kinds = _NOT_WRITTEN
    return (*kinds, "input_audio_tokens") if shape.sounds else kinds


_NOT_WRITTEN: tuple[Kind, ...] = ("input_tokens",)
_WRITTEN: tuple[Kind, ...] = ("input_tokens", "cache_write_tokens")
_WRITTEN_ON_REQUEST: tuple[Kind, ...] = ("input_tokens", "cache_write_1h_tokens", "cache_write_5m_tokens")
_TEXT: tuple[Kind, ...] = ("output_tokens",)


def _output_kinds(call: Call, shape: Shape) -> tuple[Kind, ...]:
    """Return the most expensive kinds that the output of this call can be counted as."""
    images = "image" in (call.model or "")
    if not shape.outputs and not images:
        return _TEXT
    audio: tuple[Kind, ...] = ("output_audio_tokens",) if "audio" in shape.outputs else ()
    image: tuple[Kind, ...] = ("output_image_tokens",) if images or "image" in shape.outputs else ()
    return (*_TEXT, *audio, *image)
