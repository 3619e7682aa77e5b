"""What a usage costs under a price list: pure arithmetic, with the time and the terms given by the caller.

A `ModelPrices` holds all that a price book says of one model (dated lists, lists for some hours of the day, variants
for service tiers and batches) and chooses the `Card` for a moment; a card turns a `Usage` into a `Cost`. Because
usage is disjoint, each counted kind is billed once: at the most special price whose meaning contains it.

No names are looked up here and nothing is read from files: that is `otel_agentcost.pricebook`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, Inexact
from itertools import combinations
from typing import NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost, priced
from otel_agentcost.core.usage import CACHE_READ_TOKENS, DIMENSIONS, INPUT_TOKENS, Count, Dimensions, Kind, Usage, plus

DAY = 86_400.0


class Unit(NamedTuple):
    """What one price key prices: so many dollars for `per` of `kind`."""

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


_MTOK = 1_000_000
_BY_DIMENSIONS: Mapping[Dimensions, Kind] = {dimensions: kind for kind, dimensions in DIMENSIONS.items()}
_FRESH: Mapping[Kind, Kind] = {
    kind: _BY_DIMENSIONS[DIMENSIONS[kind] - {("token_type", "cache_read")}] for kind in CACHE_READ_TOKENS
}
"""What each kind of token that is read from a cache would be if it were not."""


class InconsistentPrices(ValueError):
    """A price list that leaves open what some usage costs; the text says which price is missing."""


@dataclass(frozen=True, slots=True)
class Tiered:
    """A price that depends on the size of the request: the whole request pays the price of the tier it reaches."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...]
    """(start, price), ascending: the price for requests of more than `start` input tokens, cached ones included."""

    def reached(self, input_tokens: Count) -> Decimal:
        """The price for a request of so many input tokens."""
        price = self.base
        for start, tier in self.tiers:
            if input_tokens > start:
                price = tier
        return price


Price = Decimal | Tiered


def _contains(general: Kind, special: Kind) -> bool:
    return DIMENSIONS[general] < DIMENSIONS[special]


def check(prices: Mapping[Kind, Price]) -> None:
    """Raises `InconsistentPrices` unless every kind of usage has at most one most special price.

    A special price needs the general ones that contain it, and two prices that can both apply to a token (audio,
    cached) need one for where they meet (cached audio).
    """
    by_dimensions: dict[Dimensions, Kind] = {dimensions: kind for kind, dimensions in DIMENSIONS.items()}
    for kind in prices:
        missing = [PRICE_KEY_OF[other] for other in DIMENSIONS if _contains(other, kind) and other not in prices]
        if missing:
            needed = ", ".join(missing)
            raise InconsistentPrices(f"{PRICE_KEY_OF[kind]} needs a price for {needed} beside it")
    for one, other in combinations(prices, 2):
        both = DIMENSIONS[one] | DIMENSIONS[other]
        if len(dict(both)) < len(both):  # they differ in a dimension: nothing is of both kinds
            continue
        meeting = by_dimensions.get(both)
        if meeting is None or meeting not in prices:
            needed = PRICE_KEY_OF[meeting] if meeting else "tokens of both kinds, for which there is no price key"
            pair = f"{PRICE_KEY_OF[one]} and {PRICE_KEY_OF[other]}"
            raise InconsistentPrices(f"{pair} need a price for {needed} beside them")


class Card:
    """One price list, ready to price with. It can be shared by threads: all that changes is what it remembers."""

    __slots__ = ("_rates", "_rounds", "_saved", "_starts", "minimum_seconds", "name", "prices")

    def __init__(self, name: str, prices: Mapping[Kind, Price], *, minimum_seconds: int = 0) -> None:
        check(prices)
        self.name = name
        self.prices = prices
        self.minimum_seconds = minimum_seconds
        tiers = {start for price in prices.values() if isinstance(price, Tiered) for start, _ in price.tiers}
        self._starts = tuple(sorted(tiers))
        # For each tier: the dollars for one of each kind met so far, and the part of the cost they belong to.
        self._rates: tuple[dict[Kind, tuple[Decimal, int]], ...] = tuple({} for _ in range(len(tiers) + 1))
        # For each tier: what one token of each kind met so far costs less for being read from a cache.
        self._saved: tuple[dict[Kind, Decimal], ...] = tuple({} for _ in range(len(tiers) + 1))
        # Where more than counts are billed (a fee a request, a minimum duration) there are no plain rates.
        self._rounds = "requests" in prices or minimum_seconds > 0

    def cost(self, usage: Usage) -> Cost:
        """The dollars of `usage`, or the reason why this list cannot tell them."""
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
        except (KeyError, Inexact):  # a kind that was not met before, has no plain rate, or needs rounding
            return self._cost_in_full(usage)
        if parts[_CACHE_READ] is zero:
            return priced(usd, parts, self.name)
        return priced(usd, parts, self.name, None, self._savings(usage, self._saved[tier]))

    def unit(self, kind: Kind) -> Kind | None:
        """The priced kind at whose price `kind` is billed: itself, or the most special one that contains it."""
        dimensions = DIMENSIONS[kind]
        containing: list[Kind] = [other for other in self.prices if DIMENSIONS[other] <= dimensions]
        return max(containing, key=lambda other: len(DIMENSIONS[other]), default=None)

    def price(self, kind: Kind, input_tokens: Count) -> Decimal:
        """The price of the priced `kind` for a request of so many input tokens."""
        price = self.prices[kind]
        return price.reached(input_tokens) if isinstance(price, Tiered) else price

    def _tier(self, input_tokens: Count) -> int:
        return sum(input_tokens > start for start in self._starts)

    def _cost_in_full(self, usage: Usage) -> Cost:
        """The same cost step by step, in the order of the price list, rounding where (and as) the library does."""
        for kind in usage.unsplit:
            if kind in self.prices:
                told = f"{self.name} has a separate price for {kind}, but the response does not say how many"
                return Cost.unknown(f"{told} of the tokens these were")
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
        """What the tokens that were read from a cache would have cost more as fresh ones."""
        usd = money.ZERO
        for kind, count in usage.counts.items():
            if kind in saved:
                usd = money.add(usd, money.multiply(saved[kind], count))
        return usd

    def _dollars(self, kind: Kind, count: Count, input_tokens: Count) -> Decimal:
        return money.divide(money.multiply(self.price(kind, input_tokens), count), _PER[kind])

    def _billed(self, counts: Mapping[Kind, Count]) -> dict[Kind, Count]:
        """What is billed for `counts`: a call is at least one request, and audio may have a minimum duration."""
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
        """`counts` by the kind whose price they pay and the part they belong to, and those that have no price."""
        billed: dict[Kind, dict[int, Count]] = {}
        missing: list[str] = []
        for kind, count in counts.items():
            unit = self.unit(kind)
            if unit is not None:
                parts = billed.setdefault(unit, {})
                parts[_part(kind)] = plus(parts.get(_part(kind), 0), count)
            elif count and kind != "requests" and not self._free(kind):
                missing.append(f"{kind} ({count})")
        return billed, missing

    def _free(self, kind: Kind) -> bool:
        """Whether the list is that of a free model: it has no prices at all, and then tokens cost nothing."""
        return not self.prices and ("family", "tokens") in DIMENSIONS[kind]

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
        """Nothing where a cached token has no price of its own, or costs as much as a fresh one, or more."""
        unit = self.unit(_FRESH[kind])
        if unit is None or _PER[unit] != _MTOK:
            return
        less = money.subtract(money.divide(self.price(unit, input_tokens), _MTOK), rate)
        if less > 0:
            self._saved[self._tier(input_tokens)][kind] = less


def _summing_to(usd: Decimal, parts: list[Decimal]) -> list[Decimal]:
    """`parts` with what was rounded away given to the largest, so that they sum to `usd` to the last digit."""
    total = money.ZERO
    for part in parts:
        total = money.wide_add(total, part)
    if total != usd:
        largest = parts.index(max(parts))
        parts[largest] = money.wide_add(parts[largest], money.wide_subtract(usd, total))
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When a price list applies: from a moment on, or between two times of every day. All UTC, in seconds."""

    start: float | None = None
    daily: tuple[float, float] | None = None

    def active(self, at: float) -> bool:
        """Whether it applies at the moment `at`."""
        if self.start is not None:
            return at >= self.start
        if self.daily is None:
            return True
        begin, end = self.daily
        time = at % DAY
        return time >= begin or time < end if end < begin else begin <= time < end

    def turns(self, at: float) -> Iterator[float]:
        """The moments around `at` at which it may begin or cease to apply."""
        if self.start is not None:
            yield self.start
        elif self.daily is not None:
            midnight = at - at % DAY
            for day in (midnight - DAY, midnight, midnight + DAY):
                yield day + self.daily[0]
                yield day + self.daily[1]


ALWAYS = Period()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices, and when and for which terms they apply."""

    prices: Mapping[Kind, Price]
    period: Period = ALWAYS
    terms: Mapping[str, str] | None = None
    """For a variant: what must be so of the call (`service_tier`: `flex`); its prices replace the standard ones."""


class Quote(NamedTuple):
    """The card that applies, and from when until when the answer stays the same."""

    card: Card
    since: float
    until: float


class ModelPrices:
    """All the prices of one model. Choosing a card does not depend on anything but the arguments."""

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
        """The card for a call at `at` under `terms`: the last list that applies then, else the first; and of the
        variants that apply, the first that has a price for a kind gives that price.

        Raises `InconsistentPrices` where the prices that come together contradict each other.
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
