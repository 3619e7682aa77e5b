"""Recorded calls at other prices, with other counts, or of another model: the price book's answer, to the last digit.

A counterfactual is worth something only where the book gives the recorded dollars for the recorded call. `basis` is how
it does so, and every other price of the call stands on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, cast

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import PRICE_KEY_OF, PRICE_KEYS, Card, InconsistentPrices
from otel_agentcost.core.usage import CACHE_WRITE_TOKENS, INPUT_TOKENS, KINDS, Count, Kind, Usage, plus
from otel_agentcost.insight.trend import Rates
from otel_agentcost.pricebook import NoPrice, PriceBook, PriceMatch
from otel_agentcost.store.single_calls import Names, Part, Recorded, Terms, terms_of

Counts = Mapping[str, Count]
Models = tuple[str | None, ...]

WRITES: frozenset[str] = frozenset(CACHE_WRITE_TOKENS)
FRESH: frozenset[str] = frozenset({"input_tokens", *CACHE_WRITE_TOKENS})
"""Tokens that were not read from a cache."""

_RATED: dict[str, str] = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
    "reasoning": "output_reasoning_tokens",
}
_UNIT = 1_000
"""Tokens that are priced for the price of one: too few for a price of long prompts."""

_ONE = Decimal(1)


class Basis(NamedTuple):
    """The price of a call: its seller, its model, and the uplift with which the recorded dollars come out."""

    provider: str
    models: Models
    factor: Decimal = _ONE
    """The uplift of the call's address: a store keeps no addresses."""


class Other(NamedTuple):
    """Values in place of the recorded ones; None for those that were recorded."""

    counts: Counts | None = None
    terms: Terms | None = None
    at: float | None = None
    """The time of the price."""
    base_url: str | None = None
    """The address, in place of the uplift of the basis."""


AS_RECORDED = Other()


class Charge(NamedTuple):
    """The tokens of one model within a call, and what they cost."""

    part: Part
    cost: Cost


class Repricing:
    """Prices recorded calls by a price book."""

    def __init__(self, book: PriceBook) -> None:
        """Use the prices of `book`."""
        self.book = book
        self._bases: dict[tuple[str, str, str, str], tuple[Basis, ...]] = {}
        self._factors: dict[tuple[str, Models], tuple[Decimal, ...]] = {}

    # --- how the recorded dollars come out ---

    def basis(self, call: Recorded) -> Basis | None:
        """Return the basis with which the book gives the dollars that were recorded; None if it does not."""
        if call.nusd is None or call.names.source == "provider":
            return None
        for basis in self._possible(call.names):
            plain = self.cost(call, basis)
            if plain.unpriced is not None and not call.names.unpriced:
                continue
            for factor in (_ONE, *self._uplifts(basis.provider, basis.models)):
                usd = scaled(plain, factor).usd
                if usd is not None and money.to_nano(usd) == call.nusd:
                    return basis._replace(factor=factor)
        return None

    def whole_basis(self, call: Recorded) -> Basis | None:
        """Return the basis of a call whose dollars are known in whole; None if the book does not give them."""
        return None if call.names.unpriced else self.basis(call)

    def same(self, call: Recorded) -> bool:
        """Return True if the book gives the dollars that were recorded, and they are all of the call's."""
        return self.whole_basis(call) is not None

    def instead(self, basis: Basis, model: str, provider: str | None = None) -> Basis:
        """Return the basis of another model at the same address.

        Args:
            basis: That of the recorded model.
            model: The other model.
            provider: Its provider; None for the same one.
        """
        there = basis.factor in self._uplifts(basis.provider, (model,))  # else it costs the same at all addresses
        who = basis.provider if provider is None else provider
        return Basis(who, (model,), basis.factor if there else _ONE)

    def _possible(self, names: Names) -> tuple[Basis, ...]:
        """Return how a call may have been priced: by its names, as `calls.pricing` does; else by its price key."""
        key = (names.provider, names.served, names.requested, names.price)
        if key not in self._bases:
            owner, _, model = names.price.partition("/")
            found = (as_recorded(names), *((Basis(owner, (model,)),) if model else ()))
            self._bases[key] = found
        return self._bases[key]

    def _uplifts(self, provider: str, models: Models) -> tuple[Decimal, ...]:
        """Return the uplifts that the address of a call may have had."""
        key = (provider, models)
        if key not in self._factors:
            match = self.book.find(models, None, provider or None)
            rows = () if isinstance(match, NoPrice) else self.book.uplifts(match)
            self._factors[key] = tuple({row.factor for row in rows if row.addresses and row.factor is not None})
        return self._factors[key]

    # --- what it would cost ---

    def cost(self, call: Recorded, basis: Basis, other: Other = AS_RECORDED) -> Cost:
        """Return what a call would cost.

        Args:
            call: The call.
            basis: Its price.
            other: What else would be different.
        """
        first, *rest = (charge.cost for charge in self.charges(call, basis, other))
        for each in rest:
            first += each
        return first.known()

    def charges(self, call: Recorded, basis: Basis, other: Other = AS_RECORDED) -> Iterator[Charge]:
        """Yield the cost of each model within a call, that of its own model first. The arguments are those of `cost`.

        Another model within the call keeps its name and its terms: only the time, the address and the book change.
        """
        recorded = call.names.conditions
        counts, terms, at, base_url = other
        own = Part(None, call.counts if counts is None else counts, recorded if terms is None else terms)
        others = (part._replace(terms=tuple(dict((*recorded, *part.terms)).items())) for part in call.extra)
        for part in (own, *others):
            cost = self.book.price(
                usage_of(part.counts),
                provider=basis.provider or None,
                base_url=base_url,
                models=basis.models if part is own else (part.model,),
                at=call.at if at is None else at,
                terms=part.terms,
            )
            yield Charge(part, cost if base_url is not None else scaled(cost, basis.factor))

    def nusd(self, call: Recorded, basis: Basis, other: Other = AS_RECORDED) -> int | None:
        """Return what a call would cost in billionths of a dollar; None if that is not known. See `cost`."""
        cost = self.cost(call, basis, other)
        return money.to_nano(cost.usd) if cost.usd is not None and cost.unpriced is None else None

    # --- prices of tokens ---

    def ladder(self, prices: Iterable[str], at: float) -> dict[str, str]:
        """Return the next cheaper model for each of some price keys: the dearest one of the same provider below it.

        Models are compared by three tokens of input and one of output. One that saves less than a fifth is none.
        """
        rates = self.rates(at)
        costs: dict[str, Decimal] = {}
        for price in prices:
            rate = rates(price.partition("/")[0], price, "")
            if rate is not None and rate["input"] and rate["output"]:
                costs[price] = 3 * rate["input"] + rate["output"]
        found: dict[str, str] = {}
        for price, cost in costs.items():
            owner = price.partition("/")[0]
            below = [
                (other, name) for name, other in costs.items() if name.startswith(f"{owner}/") and other < cost * 4 / 5
            ]
            if below:
                found[price] = max(below)[1].partition("/")[2]
        return found

    def rates(self, at: float) -> Rates:
        """Return the prices of a token at a time, for the split of a trend."""

        @lru_cache(maxsize=4096)
        def of(provider: str, price: str, terms: str) -> Mapping[str, Decimal] | None:
            owner, _, model = price.partition("/")
            if not price:
                return None
            found: dict[str, Decimal] = {}
            for name, kind in _RATED.items():
                cost = self.book.price(
                    usage_of({kind: _UNIT}),
                    provider=owner or provider,
                    base_url=None,
                    models=(model,),
                    at=at,
                    terms=terms_of(terms),
                )
                found[name] = cost.usd if cost.usd is not None else money.ZERO
            return found

        return of


def models_of(names: Names) -> Models:
    """Return the names that set the price of a call, in the order of `calls.pricing`."""
    models = (names.served or None, names.requested or None)
    return models[::-1] if names.provider == "aws.bedrock" else models


def as_recorded(names: Names) -> Basis:
    """Return the basis of a call by its names."""
    return Basis(names.provider, models_of(names))


def scaled(cost: Cost, factor: Decimal) -> Cost:
    """Return a cost whose tokens cost `factor` times as much. Tools keep their price."""
    if cost.usd is None or factor == 1:
        return cost
    tokens = money.wide_subtract(cost.usd, cost.tool_usd)
    return cost._replace(
        usd=money.wide_add(money.multiply(tokens, factor), cost.tool_usd),
        input_usd=money.multiply(cost.input_usd, factor),
        output_usd=money.multiply(cost.output_usd, factor),
        cache_read_usd=money.multiply(cost.cache_read_usd, factor),
        cache_write_usd=money.multiply(cost.cache_write_usd, factor),
        cache_savings_usd=money.multiply(cost.cache_savings_usd, factor),
    )


# --- cards ---


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


def rate_of(card: Card, kind: Kind, tokens: Count = 0) -> Decimal | None:
    """Return the price of one token in a call with so many of input; None if the card has none."""
    unit = card.unit(kind)
    return None if unit is None else card.price(unit, tokens) / PRICE_KEYS[PRICE_KEY_OF[unit]].per


def by_kind(card: Card, counts: Counts) -> dict[str, Decimal]:
    """Return the dollars of each kind of a usage at the prices of a card."""
    usage = usage_of(counts)
    total = usage.total(INPUT_TOKENS)
    return {
        kind: money.multiply(rate_of(card, kind, total) or money.ZERO, Decimal(count))
        for kind, count in usage.counts.items()
    }


# --- counts ---


def usage_of(counts: Counts) -> Usage:
    """Return counts of a row as a usage. Kinds that a newer package has written are left out."""
    return Usage(counts={cast("Kind", kind): count for kind, count in counts.items() if kind in KINDS})


def moved(counts: Counts, tokens: int, source: frozenset[str], target: str) -> Counts:
    """Return counts with some tokens of the kinds `source` counted as `target`, the dearest kinds first."""
    left, found = tokens, dict(counts)
    for kind in sorted(source & counts.keys(), key=lambda kind: (kind == "input_tokens", kind)):
        taken = min(left, int(found[kind]))
        left -= taken
        found[kind] -= taken
        found[target] = found.get(target, 0) + taken
    return {kind: count for kind, count in found.items() if count}


def renamed(counts: Counts, name: Callable[[str], str]) -> Counts:
    """Return counts under other kinds."""
    found: dict[str, Count] = {}
    for kind, count in counts.items():
        found[name(kind)] = plus(found.get(name(kind), 0), count)
    return found
