"""Recorded calls at other terms, with other counts, or of another model: the price book's answer, to the last digit.

A counterfactual is worth something only where the book gives the recorded dollars for the recorded call. `same` says
so, and every recommendation that prices a call asks it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, Usage
from otel_agentcost.insight.trend import Rates
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.store.single_calls import Recorded

Counts = Mapping[str, int | Decimal]

_RATED: dict[str, str] = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
    "reasoning": "output_reasoning_tokens",
}
_UNIT = 1_000
"""Tokens that are priced for the price of one: too few for a price of long prompts."""


class Repricing:
    """Prices recorded calls by a price book."""

    def __init__(self, book: PriceBook) -> None:
        """Use the prices of `book`."""
        self._book = book

    def cost(
        self,
        call: Recorded,
        *,
        counts: Counts | None = None,
        model: str | None = None,
        terms: tuple[tuple[str, str], ...] | None = None,
    ) -> Cost:
        """Return what a call would cost.

        Args:
            call: The call.
            counts: Its counts. Default: those that were recorded.
            model: Its model, of the same provider. Default: that of its price key.
            terms: The terms of its price. Default: those that were recorded.
        """
        provider, _, priced = call.names.price.partition("/")
        return self._book.price(
            Usage(counts=cast("Any", call.counts if counts is None else counts)),
            provider=provider,
            base_url=None,
            models=(model or priced,),
            at=call.at,
            terms=call.names.conditions if terms is None else terms,
        )

    def nusd(
        self,
        call: Recorded,
        *,
        counts: Counts | None = None,
        model: str | None = None,
        terms: tuple[tuple[str, str], ...] | None = None,
    ) -> int | None:
        """Return what a call would cost in billionths of a dollar; None if that is not known. See `cost`."""
        cost = self.cost(call, counts=counts, model=model, terms=terms)
        return money.to_nano(cost.usd) if cost.usd is not None and cost.unpriced is None else None

    def same(self, call: Recorded) -> bool:
        """Return True if the book gives the dollars that were recorded, and they are all of the call's."""
        names = call.names
        if call.nusd is None or not names.price or names.unpriced or names.source == "provider":
            return False
        return self.nusd(call) == call.nusd

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
            pairs = (part.partition("=") for part in terms.split(",") if part)
            conditions = tuple((name, value) for name, _, value in pairs)
            found: dict[str, Decimal] = {}
            for name, kind in _RATED.items():
                cost = self._book.price(
                    Usage(counts=cast("Any", {kind: _UNIT})),
                    provider=owner or provider,
                    base_url=None,
                    models=(model,),
                    at=at,
                    terms=conditions,
                )
                found[name] = cost.usd if cost.usd is not None else money.ZERO
            return found

        return of


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
    found: dict[str, int | Decimal] = {}
    for kind, count in counts.items():
        found[name(kind)] = found.get(name(kind), 0) + count
    return found


WRITES: frozenset[str] = frozenset(CACHE_WRITE_TOKENS)
READS: frozenset[str] = frozenset(CACHE_READ_TOKENS)
FRESH: frozenset[str] = frozenset({"input_tokens", *CACHE_WRITE_TOKENS})
"""Tokens that were not read from a cache."""
