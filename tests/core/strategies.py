"""Hypothesis strategies for usages, price lists and costs: what the laws of the core are tested over."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from otel_agentcost.core.prices import Card, InconsistentPrices, Price, Tiered
from otel_agentcost.core.usage import DIMENSIONS, Count, Kind, Usage

KINDS: list[Kind] = list(DIMENSIONS)
TOKENS: list[Kind] = [kind for kind in KINDS if ("family", "tokens") in DIMENSIONS[kind]]

# Shapes of price lists as the data set has them: closed under ancestors and joins.
SHAPES: list[list[Kind]] = [
    ["input_tokens", "output_tokens"],
    ["input_tokens", "cache_read_tokens", "output_tokens"],
    [
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
        "web_searches",
    ],
    ["input_tokens", "cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens", "output_tokens"],
    ["input_tokens", "output_tokens", "output_reasoning_tokens", "output_citation_tokens", "web_searches"],
    ["input_tokens", "output_tokens", "output_image_tokens"],
    ["audio_seconds", "input_audio_seconds"],
    ["input_characters"],
    ["input_document_pages", "input_annotated_document_pages"],
    [],
]

COUNTS = st.integers(min_value=1, max_value=10**9)
PRICES = st.decimals(min_value=0, max_value=1000, allow_nan=False, allow_infinity=False, places=6)


@st.composite
def usages(draw: st.DrawFn, kinds: list[Kind] = KINDS) -> Usage:
    """Disjoint usages of any kinds."""
    counts: dict[Kind, Count] = {}
    for kind in draw(st.lists(st.sampled_from(kinds), unique=True, max_size=8)):
        counts[kind] = draw(COUNTS)
    return Usage(counts=counts)


@st.composite
def tiered(draw: st.DrawFn) -> Price:
    """A price that does not fall with the size of the request."""
    steps = sorted(draw(st.lists(PRICES, min_size=1, max_size=3)))
    starts = sorted(draw(st.lists(st.integers(0, 10**6), min_size=len(steps), max_size=len(steps), unique=True)))
    return Tiered(Decimal(0), tuple(zip(starts, steps, strict=True)))


@st.composite
def cards(draw: st.DrawFn, *, tiers: bool = True) -> Card:
    """Price lists of every shape that occurs."""
    kinds: list[Kind] = draw(st.sampled_from(SHAPES))
    price = st.one_of(PRICES, tiered()) if tiers else PRICES
    return Card("test/model", {kind: draw(price) for kind in kinds})


def consistent(kinds: list[Kind]) -> bool:
    """Whether a price list of exactly these kinds can be used."""
    try:
        Card("test/model", dict.fromkeys(kinds, Decimal(1)))
    except InconsistentPrices:
        return False
    return True
