"""What served a call and sets its price: tiers that a list has no price for, and surcharges that no list holds.

The genai-prices library prices a term that it does not know (a tier, a speed) as if it had not been said. Here such a
call is unpriced: a priority call at the standard price is a wrong dollar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost, priced
from otel_agentcost.core.prices import Card, ModelPrices, PriceList
from otel_agentcost.core.usage import Usage

Terms = Iterable[tuple[str, str]]

STANDARD: Final = frozenset({"default", "standard", "on_demand", "auto"})
"""What providers call the tier of their price list."""

SURCHARGES: Final[Mapping[tuple[str, str], Decimal]] = {("inference_geo", "us"): Decimal("1.1")}
"""Factors on the price of all tokens. Inference in the US alone: Anthropic's pricing page, "Data residency pricing";
only models for which it is so (Opus 4.6, Sonnet 4.6 and later) are ever served like that."""


def surcharge(terms: Terms, prices: ModelPrices) -> Decimal | None:
    """The factor on token prices under `terms`; None where there is none, or the list itself has a price for it."""
    own = {item for variant in prices.variants for item in (variant.terms or {}).items()}
    return next((SURCHARGES[term] for term in terms if term in SURCHARGES and term not in own), None)


def without_price(
    terms: Mapping[str, str], variants: Iterable[PriceList], known: Mapping[str, frozenset[str]], at: float
) -> str:
    """The terms that ask for a price of their own which no variant of the model has at `at`, as text; "" for none.

    `known` are the terms that the provider prices for any of its models: others are not about prices at all.
    """
    applied = {
        item
        for variant in variants
        if variant.period.active(at) and all(terms.get(key) == value for key, value in (variant.terms or {}).items())
        for item in (variant.terms or {}).items()
    }
    asked = {(key, value) for key, value in terms.items() if key in known and value not in STANDARD}
    return ", ".join(sorted(f"{key} {value!r:.60}" for key, value in asked - applied))


class Surcharged:
    """A card whose token prices are all higher by one factor; searches and the like are not."""

    __slots__ = ("_card", "_factor")

    def __init__(self, card: Card, factor: Decimal) -> None:
        self._card = card
        self._factor = factor

    def cost(self, usage: Usage, /) -> Cost:
        """The dollars of `usage`, or the reason why the card cannot tell them."""
        plain = self._card.cost(usage)
        if plain.usd is None:
            return plain
        tokens = (plain.input_usd, plain.output_usd, plain.cache_read_usd, plain.cache_write_usd)
        parts = [*(money.multiply(part, self._factor) for part in tokens), plain.tool_usd]
        usd = money.ZERO
        for part in parts:
            usd = money.wide_add(usd, part)
        savings = money.multiply(plain.cache_savings_usd, self._factor)
        return priced(usd, parts, plain.price or "", plain.unpriced, savings)
