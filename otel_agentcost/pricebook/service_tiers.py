"""Terms that served a call and set its price: tiers that a price list does not cover, and surcharges.

The genai-prices library prices a term that it does not know (a tier, a speed) as if the call did not have it. Here
such a call is unpriced: a priority call at the standard price is a wrong dollar. The tables are in
`service_tiers.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost, priced
from otel_agentcost.core.prices import Card, ModelPrices, PriceList
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook.data_files import read_table

Terms = Iterable[tuple[str, str]]


@cache
def standard_tiers() -> frozenset[str]:
    """Return the names under which providers report the tier of their standard price list."""
    return frozenset(read_table("service_tiers.json")["standard_tiers"])


@cache
def surcharges() -> Mapping[tuple[str, str], Decimal]:
    """Return the factors on the price of all tokens, by term and value."""
    rows = read_table("service_tiers.json")["surcharges"]
    return {(row["term"], row["value"]): Decimal(row["factor"]) for row in rows}


def surcharge(terms: Terms, prices: ModelPrices) -> Decimal | None:
    """Return the factor on token prices under `terms`.

    Args:
        terms: What served the call, as pairs of term and value.
        prices: The prices of the model. A term for which they have a variant needs no factor.

    Returns:
        The factor, or None if no surcharge applies.
    """
    variants = {item for variant in prices.variants for item in (variant.terms or {}).items()}
    factors = surcharges()
    return next((factors[term] for term in terms if term in factors and term not in variants), None)


def terms_without_price(
    terms: Mapping[str, str], variants: Iterable[PriceList], priced_terms: Mapping[str, frozenset[str]], at: float
) -> str:
    """Return the terms that need a price of their own which no variant of the model has.

    Args:
        terms: What served the call.
        variants: The price lists of the model that apply under certain terms only.
        priced_terms: The terms that the provider prices for any of its models. Other terms do not concern prices.
        at: The time of the call, in seconds of the epoch.

    Returns:
        The terms as text for people, "" for none.
    """
    applied = {
        item
        for variant in variants
        if variant.period.active(at) and all(terms.get(key) == value for key, value in (variant.terms or {}).items())
        for item in (variant.terms or {}).items()
    }
    needed = {(key, value) for key, value in terms.items() if key in priced_terms and value not in standard_tiers()}
    return ", ".join(sorted(f"{key} {value!r:.60}" for key, value in needed - applied))


class SurchargedCard:
    """A card whose token prices are multiplied by one factor. Searches and other tools keep their price."""

    __slots__ = ("_card", "_factor")

    def __init__(self, card: Card, factor: Decimal) -> None:
        self._card = card
        self._factor = factor

    def cost(self, usage: Usage, /) -> Cost:
        """Return the dollars of `usage`, or the reason why the card has no price for it."""
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
