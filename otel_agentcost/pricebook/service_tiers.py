"""Terms that served a call and set its price: which of them a price list does not cover.

The genai-prices library prices a term that it does not know (a tier, a speed) as if the call did not have it. Here
such a call is unpriced: a priority call at the standard price is a wrong dollar. The table is `service_tiers.json`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from otel_agentcost.core.prices import ModelPrices, PriceList
from otel_agentcost.pricebook.data_files import read_table


@cache
def standard_tiers() -> frozenset[str]:
    """Return the names under which providers report the tier of their standard price list."""
    return frozenset(read_table("service_tiers.json")["standard_tiers"])


@cache
def tiers_at_the_same_price() -> Mapping[str, frozenset[str]]:
    """Return further tiers with the price of the standard list, by provider."""
    return {row["provider"]: frozenset(row["tiers"]) for row in read_table("service_tiers.json")["same_price"]}


@cache
def pricing_terms() -> frozenset[str]:
    """Return the terms that set a price at every provider. Others do so only where the book has a price for them."""
    return frozenset(read_table("service_tiers.json")["terms"])


def is_standard(provider: str, value: str) -> bool:
    """Return whether a call of `provider` under a tier called `value` has the price of the standard list."""
    tier = value.lower()
    return tier in standard_tiers() or tier in tiers_at_the_same_price().get(provider, ())


def lacks_batch_price(prices: ModelPrices) -> bool:
    """Return True if a user's prices of a model say nothing of batches, which no provider sells at the standard price.

    What is free is free in a batch, too, and a machine of one's own costs what it costs.
    """
    lists, variants = prices.lists, prices.variants
    costs = any(kind != "compute_seconds" and price for one in lists for kind, price in one.prices.items())
    return costs and not any("processing" in (one.terms or {}) for one in variants)


def terms_without_price(
    terms: Mapping[str, str], variants: Iterable[PriceList], priced_terms: Collection[str], provider: str, at: float
) -> dict[str, str]:
    """Return the terms that need a price of their own which no variant of the model has.

    Args:
        terms: What served the call.
        variants: The price lists of the model that apply under certain terms only.
        priced_terms: The terms that the provider prices for any of its models.
        provider: The provider that bills for the call.
        at: The time of the call, in seconds of the epoch.
    """
    applied = {
        item
        for variant in variants
        if variant.period.active(at) and all(terms.get(key) == value for key, value in (variant.terms or {}).items())
        for item in (variant.terms or {}).items()
    }
    return {
        key: value
        for key, value in terms.items()
        if (key in pricing_terms() or key in priced_terms)
        and (key, value) not in applied
        and not is_standard(provider, value)
    }
