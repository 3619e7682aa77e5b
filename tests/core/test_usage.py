"""Usage: disjoint counts, their sums, and the names that they share with the genai-prices registry."""

from __future__ import annotations

from decimal import Decimal, Inexact, localcontext
from typing import get_args

from hypothesis import given

from otel_agentcost.core.prices import PRICE_KEYS
from otel_agentcost.core.usage import DIMENSIONS, INPUT_TOKENS, NOTHING, OUTPUT_TOKENS, Kind, Usage
from tests.core.strategies import usages
from tests.pricebook import genai_prices_models

COMPUTE: Kind = "compute_seconds"
"""What a machine of the user's own computes, which no provider bills."""


@genai_prices_models.needs_library
def test_kinds_are_those_of_the_library() -> None:
    """Every unit of the library is a kind here, with the same dimensions, price key and unit size, and one more is."""
    registry = genai_prices_models.registry()
    assert set(get_args(Kind)) == set(DIMENSIONS) == {*registry, COMPUTE}
    ours = {kind: (key, per, dict(DIMENSIONS[kind])) for key, (kind, per) in PRICE_KEYS.items() if kind != COMPUTE}
    theirs = {kind: (unit["price_key"], unit["per"], unit["dimensions"]) for kind, unit in registry.items()}
    assert ours == theirs


def test_no_two_kinds_mean_the_same() -> None:
    """What a kind is tells it from all others, so a token has one place to be counted."""
    assert len(set(DIMENSIONS.values())) == len(DIMENSIONS)


@given(usages(), usages())
def test_usage_is_additive(one: Usage, other: Usage) -> None:
    """The counts of two calls together are the sums of their counts, whichever comes first."""
    both = one + other
    for kind in DIMENSIONS:
        assert both.counts.get(kind, 0) == one.counts.get(kind, 0) + other.counts.get(kind, 0)
    assert both == other + one
    assert both.input_tokens == one.input_tokens + other.input_tokens
    assert both.output_tokens == one.output_tokens + other.output_tokens


@given(usages())
def test_nothing_adds_nothing(usage: Usage) -> None:
    """A call that used nothing changes no sum."""
    assert usage + NOTHING == usage == NOTHING + usage


@given(usages())
def test_no_token_is_counted_twice(usage: Usage) -> None:
    """Input and output share no kind, and what is cached is within the input."""
    assert not INPUT_TOKENS & OUTPUT_TOKENS
    tokens = sum(count for kind, count in usage.counts.items() if ("family", "tokens") in DIMENSIONS[kind])
    assert usage.input_tokens + usage.output_tokens == tokens
    assert usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert usage.reasoning_tokens <= usage.output_tokens


def test_what_is_unsure_stays_unsure_in_a_sum() -> None:
    """A sum is estimated where one of its calls is, and names each unsplit kind once."""
    sure = Usage(counts={"input_tokens": 1})
    unsure = Usage(counts={"input_tokens": 1}, unsplit=("cache_audio_read_tokens",), estimated=True)
    assert (sure + unsure + unsure).unsplit == ("cache_audio_read_tokens",)
    assert (sure + unsure).estimated
    assert not (sure + sure).estimated


def test_sums_of_seconds_ignore_the_applications_context() -> None:
    """Fractions of seconds are added exactly, whatever precision the application works with."""
    spoken = Usage(counts={"input_audio_seconds": Decimal("12.3456789")})
    with localcontext() as context:
        context.prec = 2
        context.traps[Inexact] = True
        both = spoken + spoken
        assert both.counts["input_audio_seconds"] == Decimal("24.6913578")
        assert both.total(["input_audio_seconds", "audio_seconds"]) == Decimal("24.6913578")
