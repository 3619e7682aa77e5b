"""The price of a recorded call, worked out again from its counts, and its parts by kind of token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import cast

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import PRICE_KEY_OF, PRICE_KEYS, Card, InconsistentPrices
from otel_agentcost.core.usage import INPUT_TOKENS, KINDS, Count, Kind, Usage
from otel_agentcost.pricebook import NoPrice, PriceBook, PriceMatch
from otel_agentcost.store.recorded import Recorded

Models = tuple[str | None, ...]


def usage_of(counts: Mapping[str, Count]) -> Usage:
    """Return counts of a row as a usage. Kinds that a newer package has written are left out."""
    return Usage(counts={cast("Kind", kind): count for kind, count in counts.items() if kind in KINDS})


def models_of(call: Recorded) -> Models:
    """Return the names that set the price of a call, in the order of `calls.pricing`."""
    names = (call.served or None, call.requested or None)
    return (names[1], names[0]) if call.provider == "aws.bedrock" else names


def price(
    book: PriceBook,
    call: Recorded,
    *,
    models: Models | None = None,
    terms: Mapping[str, str] | None = None,
    at: float | None = None,
    provider: str | None = None,
    usage: Usage | None = None,
    base_url: str | None = None,
) -> Cost:
    """Return the cost of a recorded call at the prices of `book`. The other arguments change one thing each.

    Args:
        book: The price book.
        call: The call.
        models: The names of the model.
        terms: What served the call, by term.
        at: The time of the price.
        provider: The provider.
        usage: The counts.
        base_url: The address.
    """
    when = call.at if at is None else at
    who = provider if provider is not None else call.provider
    cost = book.price(
        usage if usage is not None else usage_of(call.counts),
        provider=who or None,
        base_url=base_url,
        models=models if models is not None else models_of(call),
        at=when,
        terms=tuple((call.terms if terms is None else terms).items()),
    )
    for part in call.extra:  # another model within the call keeps its name: only the time and the book change
        cost += book.price(
            usage_of(part.counts),
            provider=who or None,
            base_url=base_url,
            models=(part.model,),
            at=when,
            terms=tuple({**call.terms, **part.terms}.items()),
        )
    return cost.known()


def address_factors(book: PriceBook, call: Recorded) -> tuple[Decimal, ...]:
    """Return the uplifts that the address of a call may have had: a store keeps no addresses."""
    match = book.find(models_of(call), None, call.provider or None)
    if isinstance(match, NoPrice):
        return ()
    return tuple({row.factor for row in book.uplifts(match) if row.addresses and row.factor is not None})


def scaled(cost: Cost, factor: Decimal) -> Cost:
    """Return a cost whose tokens cost `factor` times as much. Tools keep their price."""
    if cost.usd is None or factor == 1:
        return cost
    tokens = money.wide_subtract(cost.usd, cost.tool_usd)
    return cost._replace(usd=money.wide_add(money.multiply(tokens, factor), cost.tool_usd))


def card_of(
    book: PriceBook, provider: str, models: Sequence[str | None], terms: Mapping[str, str], at: float
) -> Card | None:
    """Return the card that applies; None if the book has none for these terms."""
    match = book.find(models, None, provider or None)
    if not isinstance(match, PriceMatch) or book.refusal(match, None, terms, at) is not None:
        return None
    try:
        return match.prices.quote(at, terms if match.terms_apply else {}).card
    except InconsistentPrices:
        return None


def parts(card: Card, counts: Mapping[str, Count]) -> dict[str, Decimal]:
    """Return the dollars of each kind of a usage at the prices of a card."""
    usage = usage_of(counts)
    total = usage.total(INPUT_TOKENS)
    found: dict[str, Decimal] = {}
    for kind, count in usage.counts.items():
        unit = card.unit(kind)
        rate = money.ZERO if unit is None else card.price(unit, total) / PRICE_KEYS[PRICE_KEY_OF[unit]].per
        found[kind] = money.multiply(rate, count)
    return found
