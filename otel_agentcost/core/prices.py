"""Compute the cost of a usage under a price list: pure arithmetic; the caller passes the time and the terms.

`ModelPrices` has all price lists of one model (with start dates, for some hours of the day, for service tiers and
batches) and selects the `Card` for a time. A card turns a `Usage` into a `Cost`. Because usage is disjoint, each kind
is billed once: at the price of the most special kind that includes it.

Names of models are looked up, and files are read, in `otel_agentcost.pricebook`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, Inexact
from itertools import combinations
from typing import Literal, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost, priced
from otel_agentcost.core.price_periods import ALWAYS, Period
from otel_agentcost.core.usage import CACHE_READ_TOKENS, DIMENSIONS, INPUT_TOKENS, Count, Dimensions, Kind, Usage, plus

PrivateAddresses = Literal["priced", "free", "unpriced"]
"""The price of a call to a private address that no provider of the user's price file covers."""


class Unit(NamedTuple):
    """The unit of a price key: US dollars for `per` of `kind`."""

    kind: Kind
    per: int


_UNITS: tuple[tuple[str, str, int], ...] = (
    ("_tokens", "_mtok", 1_000_000),
    ("_characters", "_mchars", 1_000_000),
    ("_seconds", "_hours", 3_600),
    ("_pixels", "_gpixels", 1_000_000_000),
    ("_pages", "_kpages", 1_000),
    ("", "_kcount", 1_000),
)


def _price_key(kind: Kind) -> tuple[str, int]:
    ending, unit, per = next(row for row in _UNITS if kind.endswith(row[0]))
    return kind[: len(kind) - len(ending)] + unit, per


# The keys that price lists are written in, as genai-prices names them (a test holds the two equal).
PRICE_KEYS: Mapping[str, Unit] = {key: Unit(kind, per) for kind in DIMENSIONS for key, per in [_price_key(kind)]}
PRICE_KEY_OF: Mapping[Kind, str] = {unit.kind: key for key, unit in PRICE_KEYS.items()}
_PER: Mapping[Kind, int] = {unit.kind: unit.per for unit in PRICE_KEYS.values()}

_INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE, _TOOL = range(5)
_TOOL_FAMILIES = frozenset({"tool_calls", "requests", "rerank"})


def _part(kind: Kind) -> int:
    dimensions = dict(DIMENSIONS[kind])
    if dimensions["family"] in _TOOL_FAMILIES:
        return _TOOL
    if dimensions.get("direction") == "output":
        return _OUTPUT
    cache = {"cache_read": _CACHE_READ, "cache_write": _CACHE_WRITE}
    return cache.get(dimensions.get("token_type", ""), _INPUT)


_BESIDE = frozenset({"requests", "compute_seconds"})
"""Kinds that a price list need not have: what they count is paid for by the other kinds."""
_MTOK = 1_000_000
_UNLIMITED = 10**18
"""More tokens than any call has."""
_BY_DIMENSIONS: Mapping[Dimensions, Kind] = {dimensions: kind for kind, dimensions in DIMENSIONS.items()}
_FRESH: Mapping[Kind, Kind] = {
    kind: _BY_DIMENSIONS[DIMENSIONS[kind] - {("token_type", "cache_read")}] for kind in CACHE_READ_TOKENS
}
"""For each kind of token that is read from a cache, the kind without the cache."""


class InconsistentPrices(ValueError):
    """A price list does not determine the cost of every usage; the text names the missing price."""


@dataclass(frozen=True, slots=True)
class Tiered:
    """A price that depends on the size of the request: all of its tokens have the price of the tier that it reaches."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...]
    """(start, price), ascending: the price for requests of more than `start` input tokens, cached ones included."""

    def reached(self, input_tokens: Count) -> Decimal:
        """Return the price for a request of `input_tokens`, cached ones included."""
        price = self.base
        for start, tier in self.tiers:
            if input_tokens > start:
                price = tier
        return price


Price = Decimal | Tiered


class TextRates(NamedTuple):
    """The prices of one token of text, where a call is billed by nothing else. In billionths of a nano-dollar."""

    input: int
    output: int
    up_to: int
    """The input tokens up to which they hold."""

    def nano(self, input_tokens: int, output_tokens: int) -> int:
        """Return the cost in nano-dollars, rounded up as `money.to_nano` does."""
        return -(-(input_tokens * self.input + output_tokens * self.output) // 1_000_000_000)


def _contains(general: Kind, special: Kind) -> bool:
    return DIMENSIONS[general] < DIMENSIONS[special]


def check(prices: Mapping[Kind, Price]) -> None:
    """Check that every kind of usage has at most one most special price.

    A special price needs the more general ones that include it. Two prices that can both apply to a token (audio,
    cached) need a price for their intersection (cached audio).

    Raises:
        InconsistentPrices: A price is missing.
    """
    by_dimensions: dict[Dimensions, Kind] = {dimensions: kind for kind, dimensions in DIMENSIONS.items()}
    for kind in prices:
        missing = [PRICE_KEY_OF[other] for other in DIMENSIONS if _contains(other, kind) and other not in prices]
        if missing:
            needed = ", ".join(missing)
            raise InconsistentPrices(f"{PRICE_KEY_OF[kind]} needs a price for {needed} beside it")
    for one, other in combinations(prices, 2):
        both = DIMENSIONS[one] | DIMENSIONS[other]
        if len(dict(both)) < len(both):  # they differ in a dimension: nothing can be of both kinds
            continue
        meeting = by_dimensions.get(both)
        if meeting is None or meeting not in prices:
            needed = PRICE_KEY_OF[meeting] if meeting else "tokens of both kinds, for which there is no price key"
            pair = f"{PRICE_KEY_OF[one]} and {PRICE_KEY_OF[other]}"
            raise InconsistentPrices(f"{pair} need a price for {needed} beside them")


class Card:
    """One price list, ready to compute costs. Threads can share it: only its caches change."""

    __slots__ = ("_rates", "_rounds", "_saved", "_starts", "_text", "minimum_seconds", "name", "prices")

    def __init__(self, name: str, prices: Mapping[Kind, Price], *, minimum_seconds: int = 0) -> None:
        check(prices)
        self.name = name
        self.prices = prices
        self.minimum_seconds = minimum_seconds
        tiers = {start for price in prices.values() if isinstance(price, Tiered) for start, _ in price.tiers}
        self._starts = tuple(sorted(tiers))
        # For each tier: US dollars for one of each kind used so far, and the part of the cost that they belong to.
        self._rates: tuple[dict[Kind, tuple[Decimal, int]], ...] = tuple({} for _ in range(len(tiers) + 1))
        # For each tier: the savings in US dollars for one token of each kind used so far that is read from a cache.
        self._saved: tuple[dict[Kind, Decimal], ...] = tuple({} for _ in range(len(tiers) + 1))
        # With a fee for each request, a minimum duration or a price of computing, the cost is not a sum of rates.
        self._rounds = "requests" in prices or "compute_seconds" in prices or minimum_seconds > 0
        # The prices of text, for each set of kinds that an input was counted as.
        self._text: dict[tuple[Kind, ...], TextRates | None] = {}

    def cost(self, usage: Usage) -> Cost:
        """Return the cost of `usage`, or the reason why this list does not determine it."""
        if usage.unsplit or self._rounds:
            return self._cost_in_full(usage)
        tier = 0
        if self._starts:
            total: Count = 0
            for kind, count in usage.counts.items():
                if kind in INPUT_TOKENS:
                    total += count
            if total > self._starts[0]:
                tier = self._tier(total)
        rates = self._rates[tier]
        usd = zero = money.ZERO
        parts = [zero, zero, zero, zero, zero]
        add, multiply = money.exact_add, money.exact_multiply
        try:
            for kind, count in usage.counts.items():
                rate, part = rates[kind]
                dollars = multiply(rate, count)
                before = parts[part]
                parts[part] = dollars if before is zero else add(before, dollars)
                usd = dollars if usd is zero else add(usd, dollars)
        except (KeyError, Inexact):  # a kind that is new to this card, has no rate, or needs rounding
            return self._cost_in_full(usage)
        if parts[_CACHE_READ] is zero:
            return priced(usd, parts, self.name)
        return priced(usd, parts, self.name, None, self._savings(usage, self._saved[tier]))

    def text_rates(self, inputs: tuple[Kind, ...]) -> TextRates | None:
        """Return the prices of text whose input is of the dearest of `inputs`; None if they are no whole numbers."""
        if inputs not in self._text:
            self._text[inputs] = self._text_rates(inputs)
        return self._text[inputs]

    def _text_rates(self, inputs: tuple[Kind, ...]) -> TextRates | None:
        rates: list[int] = []
        for kind in (*inputs, "output_tokens"):
            unit = self.unit(kind)
            if self._rounds or unit is None:
                return None
            rate = money.multiply(self.price(unit, 0), Decimal(10**18) / _PER[unit])
            if rate != int(rate):
                return None
            rates.append(int(rate))
        return TextRates(max(rates[:-1]), rates[-1], self._starts[0] if self._starts else _UNLIMITED)

    def unit(self, kind: Kind) -> Kind | None:
        """Return the kind at whose price `kind` is billed: itself or the most special one that includes it."""
        dimensions = DIMENSIONS[kind]
        containing: list[Kind] = [other for other in self.prices if DIMENSIONS[other] <= dimensions]
        return max(containing, key=lambda other: len(DIMENSIONS[other]), default=None)

    def price(self, kind: Kind, input_tokens: Count) -> Decimal:
        """Return the price of `kind`, which must be in the list, for a request of `input_tokens`."""
        price = self.prices[kind]
        return price.reached(input_tokens) if isinstance(price, Tiered) else price

    def _tier(self, input_tokens: Count) -> int:
        return sum(input_tokens > start for start in self._starts)

    def _cost_in_full(self, usage: Usage) -> Cost:
        """Compute the same cost step by step, in the order of the price list, with the rounding of genai-prices."""
        for kind in usage.unsplit:
            if kind in self.prices:
                price = f"{self.name} has a separate price for {kind}"
                return Cost.unknown(f"{price}, and the provider did not report their number")
        billed, missing = self._sorted_by_price(self._billed(usage.counts))
        input_tokens = usage.total(INPUT_TOKENS)
        usd = money.ZERO
        parts = [money.ZERO] * 5
        for kind in self.prices:
            counts = billed.get(kind, {})
            count: Count = 0
            for part, some in counts.items():
                count = plus(count, some)
                parts[part] = money.add(parts[part], self._dollars(kind, some, input_tokens))
            usd = money.add(usd, self._dollars(kind, count, input_tokens))
        if not usd.is_finite():
            return Cost.unknown("the counts are too large to be real")
        self._remember(usage, input_tokens)
        unpriced = f"no price for {', '.join(missing)}" if missing else None
        savings = self._savings(usage, self._saved[self._tier(input_tokens)])
        return priced(usd, _summing_to(usd, parts), self.name, unpriced, savings)

    def _savings(self, usage: Usage, saved: Mapping[Kind, Decimal]) -> Decimal:
        """Return the savings in US dollars by reading tokens from a cache."""
        usd = money.ZERO
        for kind, count in usage.counts.items():
            if kind in saved:
                usd = money.add(usd, money.multiply(saved[kind], count))
        return usd

    def _dollars(self, kind: Kind, count: Count, input_tokens: Count) -> Decimal:
        return money.divide(money.multiply(self.price(kind, input_tokens), count), _PER[kind])

    def _billed(self, counts: Mapping[Kind, Count]) -> dict[Kind, Count]:
        """Return the billed counts: a call is at least one request, and audio can have a minimum duration."""
        billed: dict[Kind, Count] = dict(counts)
        if "requests" in self.prices:
            billed["requests"] = max(1, billed.get("requests", 0))
        if self.minimum_seconds:
            seconds: Count = 0
            for kind in counts:
                if ("family", "durations") in DIMENSIONS[kind]:
                    seconds = plus(seconds, billed.pop(kind))
            if seconds:
                billed["input_audio_seconds"] = max(seconds, self.minimum_seconds)
        return billed

    def _sorted_by_price(self, counts: Mapping[Kind, Count]) -> tuple[dict[Kind, dict[int, Count]], list[str]]:
        """Return `counts` by the kind at whose price they are billed and by part, and the kinds without a price."""
        billed: dict[Kind, dict[int, Count]] = {}
        missing: list[str] = []
        for kind, count in counts.items():
            unit = self.unit(kind)
            if unit is not None:
                parts = billed.setdefault(unit, {})
                parts[_part(kind)] = plus(parts.get(_part(kind), 0), count)
            elif count and kind not in _BESIDE and not self._free(kind):
                missing.append(f"{kind} ({count})")
        if "compute_seconds" in self.prices and not counts.get("compute_seconds"):
            missing.append("compute_seconds (the response does not count them)")
        return billed, missing

    def _free(self, kind: Kind) -> bool:
        """Return whether `kind` is free: the list of a free model has no prices, or only one of computing."""
        return not self.prices.keys() - {"compute_seconds"} and ("family", "tokens") in DIMENSIONS[kind]

    def _remember(self, usage: Usage, input_tokens: Count) -> None:
        rates = self._rates[self._tier(input_tokens)]
        for kind in usage.counts:
            unit = self.unit(kind)
            if unit is not None and _PER[unit] in {1_000, 1_000_000, 1_000_000_000}:
                rate = money.divide(self.price(unit, input_tokens), _PER[unit])
                rates[kind] = (rate, _part(kind))
                if kind in CACHE_READ_TOKENS:
                    self._remember_saved(kind, rate, input_tokens)
            elif self._free(kind):
                rates[kind] = (money.ZERO, _part(kind))

    def _remember_saved(self, kind: Kind, rate: Decimal, input_tokens: Count) -> None:
        """Keep the savings for a cached token, if it is cheaper than a fresh one."""
        unit = self.unit(_FRESH[kind])
        if unit is None or _PER[unit] != _MTOK:
            return
        less = money.subtract(money.divide(self.price(unit, input_tokens), _MTOK), rate)
        if less > 0:
            self._saved[self._tier(input_tokens)][kind] = less


def _summing_to(usd: Decimal, parts: list[Decimal]) -> list[Decimal]:
    """Add the rounding difference to the largest part, so that `parts` sum to `usd` exactly."""
    total = money.ZERO
    for part in parts:
        total = money.wide_add(total, part)
    if total != usd:
        largest = parts.index(max(parts))
        parts[largest] = money.wide_add(parts[largest], money.wide_subtract(usd, total))
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices with their validity and terms."""

    prices: Mapping[Kind, Price]
    period: Period = ALWAYS
    terms: Mapping[str, str] | None = None
    """For a variant: the terms (`service_tier`: `flex`) under which its prices replace the standard ones."""


class Quote(NamedTuple):
    """The card that applies, and the times (seconds of the epoch) between which it stays the same."""

    card: Card
    since: float
    until: float


class ModelPrices:
    """All price lists of one model. The selected card depends only on the arguments."""

    __slots__ = ("_cards", "lists", "minimum_seconds", "name", "variants")

    def __init__(
        self, name: str, lists: Sequence[PriceList], variants: Sequence[PriceList] = (), *, minimum_seconds: int = 0
    ) -> None:
        if not lists:
            raise InconsistentPrices(f"{name} has no price list")
        self.name = name
        self.lists = tuple(lists)
        self.variants = tuple(variants)
        self.minimum_seconds = minimum_seconds
        self._cards: dict[tuple[int, ...], Card] = {}

    def quote(self, at: float, terms: Mapping[str, str]) -> Quote:
        """Select the card for a call.

        The last list that is valid at `at` applies, else the first list. Of the variants that apply, the first that has
        a price for a kind overrides it.

        Args:
            at: The time of the call, in seconds of the epoch.
            terms: What served the call, by term.

        Raises:
            InconsistentPrices: The combined prices contradict each other.
        """
        active = [position for position, standard in enumerate(self.lists) if standard.period.active(at)]
        chosen = [active[-1] if active else 0]
        if terms:
            for position, variant in enumerate(self.variants):
                wanted = variant.terms or {}
                if variant.period.active(at) and all(terms.get(key) == value for key, value in wanted.items()):
                    chosen.append(position)
        key = tuple(chosen)
        card = self._cards.get(key)
        if card is None:
            card = self._cards[key] = self._card(*key)
        turns = [turn for entry in (*self.lists, *self.variants) for turn in entry.period.turns(at)]
        since = max((turn for turn in turns if turn <= at), default=-math.inf)
        until = min((turn for turn in turns if turn > at), default=math.inf)
        return Quote(card, since, until)

    def _card(self, standard: int, *variants: int) -> Card:
        overrides: dict[Kind, Price] = {}
        for position in variants:
            for kind, price in self.variants[position].prices.items():
                overrides.setdefault(kind, price)
        prices: dict[Kind, Price] = {**self.lists[standard].prices, **overrides}
        return Card(self.name, prices, minimum_seconds=self.minimum_seconds)
