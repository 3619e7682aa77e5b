"""What served a call sets its price, and what has no price of its own is unpriced."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book

AT = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()
USAGE = Usage(counts={"input_tokens": 1000, "output_tokens": 100})
BOOK = open_book()


def price(provider: str, model: str, *terms: tuple[str, str], usage: Usage = USAGE) -> Cost:
    return BOOK.price(usage, provider=provider, base_url=None, models=(model,), at=AT, terms=terms)


def test_a_served_tier_with_a_price_is_priced_at_it() -> None:
    """gpt-4.1 served with priority costs what its priority list says: 3.50 and 14 dollars a million."""
    cost = price("openai", "gpt-4.1", ("service_tier", "priority"))
    assert cost.usd == Decimal("0.0049")


@pytest.mark.parametrize("tier", ["default", "standard", "on_demand"])
def test_the_standard_tier_is_the_standard_price(tier: str) -> None:
    """However a provider calls it."""
    assert price("openai", "gpt-4o", ("service_tier", tier)).usd == price("openai", "gpt-4o").usd


@pytest.mark.parametrize(
    ("provider", "model", "term"),
    [
        ("openai", "gpt-3.5-turbo", ("service_tier", "priority")),
        ("google", "gemini-2.5-flash", ("service_tier", "flex")),
        ("anthropic", "claude-sonnet-4-5", ("speed", "fast")),
        ("azure", "gpt-4o", ("service_tier", "priority")),
        ("aws.bedrock", "global.anthropic.claude-opus-5", ("service_tier", "reserved")),
        ("x_ai", "grok-4", ("service_tier", "priority")),
        ("groq", "llama-3.3-70b-versatile", ("service_tier", "performance")),
        ("deepseek", "deepseek-v4-pro", ("processing", "batch")),
        ("anthropic", "claude-opus-4-6", ("service_tier", "flex")),
        ("mistral_ai", "mistral-large-latest", ("service_tier", "provisioned")),
    ],
)
def test_a_tier_without_a_price_is_not_priced_as_standard(provider: str, model: str, term: tuple[str, str]) -> None:
    """Unpriced, and it says for what, also where the book prices such a term for no model of the provider."""
    cost = price(provider, model, term)
    assert cost.usd is None
    assert term[0] in (cost.unpriced or "")
    assert term[1] in (cost.unpriced or "")


def test_what_is_free_is_free_under_all_tiers() -> None:
    """A model that the book lists without prices."""
    assert price("google", "gemma-3-27b-it", ("service_tier", "flex")).usd == 0


def test_a_tier_at_the_same_price_is_not_unpriced() -> None:
    """Groq documents that flex costs what on-demand does."""
    plain = price("groq", "llama-3.3-70b-versatile")
    assert plain.usd
    assert price("groq", "llama-3.3-70b-versatile", ("service_tier", "flex")).usd == plain.usd


def test_inference_in_the_us_alone_costs_a_tenth_more_on_tokens_and_nothing_on_searches() -> None:
    """All token prices times 1.1, the searches as they are, and the parts still sum to the whole."""
    usage = USAGE + Usage(counts={"cache_read_tokens": 500, "cache_write_1h_tokens": 300, "web_searches": 2})
    plain = price("anthropic", "claude-opus-4-6", usage=usage)
    us = price("anthropic", "claude-opus-4-6", ("inference_geo", "us"), usage=usage)
    assert plain.usd
    assert us.usd == (plain.usd - plain.tool_usd) * Decimal("1.1") + plain.tool_usd
    assert us.usd == us.input_usd + us.output_usd + us.cache_read_usd + us.cache_write_usd + us.tool_usd
    assert us.tool_usd == plain.tool_usd == Decimal("0.02")


SAME_IN_BATCHES = {"gpt-3.5-turbo-1106"}
"""Models whose batches have the standard price (https://platform.openai.com/docs/pricing, 'Batch')."""


@pytest.mark.parametrize(
    ("listed", "provider"),
    [("openai", "openai"), ("anthropic", "anthropic"), ("google", "gcp.gemini"), ("mistral", "mistral_ai")],
)
def test_a_batch_without_a_price_is_not_priced_as_standard(listed: str, provider: str) -> None:
    """Every model of a provider whose batches are settled has a price for batches of its own, or none at all."""
    batch, unpriced = ("processing", "batch"), 0
    for entry in BOOK.book.models_of(listed).entries:
        plain, cost = (price(provider, entry["id"], *terms) for terms in ((), (batch,)))
        if not plain.usd or entry["id"] in SAME_IN_BATCHES:
            continue
        assert cost.usd is None or cost.usd < plain.usd, entry["id"]
        if cost.usd is None:
            unpriced += 1
            assert "processing" in (cost.unpriced or ""), entry["id"]
    assert unpriced > 5


OWN = """
models:
  negotiated: {input_mtok: 1, output_mtok: 2}
  in-batches: {input_mtok: 1, output_mtok: 2, variants: [{when: {processing: batch}, input_mtok: 0.4, output_mtok: 1}]}
  nothing: {input_mtok: 0, output_mtok: 0}
  given: free
"""


def test_own_prices_do_not_hold_in_batches_unless_they_say_so(tmp_path: Path) -> None:
    """No provider sells batches at the standard price. What is free is free in batches, too."""
    path = tmp_path / "prices.yaml"
    path.write_text(OWN)
    book = open_book(path)

    def own(model: str, *terms: tuple[str, str]) -> Cost:
        return book.price(USAGE, provider="openai", base_url=None, models=(model,), at=AT, terms=terms)

    batch = ("processing", "batch")
    assert own("negotiated", batch).usd is None
    assert "batch" in (own("negotiated", batch).unpriced or "")
    assert own("negotiated", ("service_tier", "flex")).usd == own("negotiated").usd == Decimal("0.0012")
    assert own("in-batches", batch).usd == Decimal("0.0005")
    assert [own(model, batch).usd for model in ("nothing", "given")] == [0, 0]
