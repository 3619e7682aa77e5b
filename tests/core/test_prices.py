"""Laws of pricing: additive, monotone, nothing billed twice, never negative, and exact in every decimal context."""

from __future__ import annotations

import random
from decimal import ROUND_UP, Decimal, Inexact, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.price_periods import Period
from otel_agentcost.core.prices import Card, InconsistentPrices, ModelPrices, Price, PriceList, Tiered
from otel_agentcost.core.usage import CACHE_READ_TOKENS, DIMENSIONS, Count, Kind, Usage
from tests.core.strategies import COUNTS, KINDS, PRICES, TOKENS, cards, consistent, usages

FRESH: dict[Kind, Kind] = {
    kind: next(fresh for fresh in DIMENSIONS if DIMENSIONS[fresh] == DIMENSIONS[kind] - {("token_type", "cache_read")})
    for kind in CACHE_READ_TOKENS
}
"""What tokens that are read from a cache would be if they were not."""


def sum_of_parts(cost: Cost) -> Decimal:
    total = Decimal(0)
    for part in (cost.input_usd, cost.output_usd, cost.cache_read_usd, cost.cache_write_usd, cost.tool_usd):
        total = money.wide_add(total, part)
    return total


def dollars(cost: Cost) -> Decimal:
    assert cost.usd is not None, cost.unpriced
    return cost.usd


@given(cards(), usages())
def test_parts_sum_to_the_cost_and_none_is_negative(card: Card, usage: Usage) -> None:
    """The parts are all of the cost and nothing but it, first time and once the card remembers."""
    for _ in range(2):
        cost = card.cost(usage)
        assert sum_of_parts(cost) == cost.usd
        assert min(cost.input_usd, cost.output_usd, cost.cache_read_usd, cost.cache_write_usd, cost.tool_usd) >= 0


@given(cards(), usages(TOKENS))
def test_a_cache_saves_what_fresh_tokens_would_have_cost_more(card: Card, usage: Usage) -> None:
    """With the cached tokens as fresh ones the same usage costs that much more, unless the cache is the dearer one."""
    cached: list[Kind] = [kind for kind in usage.counts if kind in CACHE_READ_TOKENS]
    saved = Decimal(0)
    for kind in cached:
        turned = dict(usage.counts)
        turned[FRESH[kind]] = turned.get(FRESH[kind], 0) + turned.pop(kind)
        saved += max(Decimal(0), dollars(card.cost(Usage(counts=turned))) - dollars(card.cost(usage)))
    for _ in range(2):
        assert card.cost(usage).cache_savings_usd == pytest.approx(saved, rel=Decimal("1e-20"), abs=Decimal("1e-20"))


@given(cards(tiers=False), usages(TOKENS), usages(TOKENS))
def test_prices_without_tiers_are_additive(card: Card, one: Usage, other: Usage) -> None:
    """Two calls together cost what they cost one by one."""
    assert card.cost(one + other).usd == dollars(card.cost(one)) + dollars(card.cost(other))


@given(cards(), usages(TOKENS), st.sampled_from(TOKENS), COUNTS)
def test_more_usage_never_costs_less(card: Card, usage: Usage, kind: Kind, count: int) -> None:
    """Cost is monotone, also over the edge of a tier."""
    more = usage + Usage(counts={kind: count})
    assert dollars(card.cost(more)) >= dollars(card.cost(usage))


@given(usages(TOKENS))
def test_no_token_is_billed_twice(usage: Usage) -> None:
    """Where every token costs one dollar, whatever else it is, the cost is the number of tokens."""
    million = Decimal(10**6)
    kinds: list[Kind] = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"]
    card = Card("x/y", dict.fromkeys([*kinds, "output_tokens", "output_reasoning_tokens"], million))
    tokens = sum(usage.counts.values())
    assert card.cost(usage).usd == tokens
    assert card.cost(usage).cache_read_usd == usage.cache_read_tokens


@given(cards(), usages())
def test_the_applications_decimal_context_changes_no_price(card: Card, usage: Usage) -> None:
    """Three digits, rounding up, an error on every inexact result: prices stay what they are."""
    expected = card.cost(usage)
    with localcontext() as context:
        context.prec = 3
        context.rounding = ROUND_UP
        context.traps[Inexact] = True
        assert card.cost(usage) == expected
        assert Card(card.name, card.prices).cost(usage) == expected


@given(cards(), usages())
def test_the_order_of_counts_does_not_matter(card: Card, usage: Usage) -> None:
    """The same counts in another order cost the same."""
    turned = Usage(counts=dict(reversed(list(usage.counts.items()))))
    assert card.cost(turned).usd == card.cost(usage).usd


def test_each_kind_pays_its_most_special_price() -> None:
    """Cached audio pays the price of cached audio, or of audio, or of input, whichever there is."""
    kinds: list[Kind] = ["input_tokens", "cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens"]
    prices: dict[Kind, Price] = {kind: Decimal(rank + 1) for rank, kind in enumerate(kinds)}
    assert Card("x/y", prices).unit("cache_audio_read_tokens") == "cache_audio_read_tokens"
    assert (
        Card("x/y", {"input_tokens": Decimal(1), "input_audio_tokens": Decimal(2)}).unit("cache_audio_read_tokens")
        == "input_audio_tokens"
    )
    assert Card("x/y", {"input_tokens": Decimal(1)}).unit("cache_audio_read_tokens") == "input_tokens"
    assert Card("x/y", {"output_tokens": Decimal(1), "input_tokens": Decimal(1)}).unit("web_searches") is None


def test_every_kind_has_at_most_one_most_special_price() -> None:
    """In every consistent price list the most special price of a kind contains all the others that apply."""
    rng = random.Random(7)
    checked = 0
    for _ in range(4000):
        kinds: list[Kind] = ["input_tokens", "output_tokens", *rng.sample(KINDS, rng.randint(1, 3))]
        kinds = list(dict.fromkeys(kinds))
        if not consistent(kinds):
            continue
        checked += 1
        card = Card("x/y", dict.fromkeys(kinds, Decimal(1)))
        for kind in KINDS:
            unit = card.unit(kind)
            for other in kinds:
                if DIMENSIONS[other] <= DIMENSIONS[kind]:
                    assert unit is not None
                    assert DIMENSIONS[other] <= DIMENSIONS[unit]
    assert checked > 100


@pytest.mark.parametrize(
    ("kinds", "missing"),
    [
        (["cache_read_tokens"], "cache_read_mtok needs a price for input_mtok"),
        (["input_tokens", "cache_write_1h_tokens"], "cache_write_1h_mtok needs a price for cache_write_mtok"),
        (["input_tokens", "cache_read_tokens", "input_audio_tokens"], "cache_audio_read_mtok"),
    ],
)
def test_a_price_list_that_leaves_something_open_is_refused(kinds: list[Kind], missing: str) -> None:
    """What some usage would cost must not depend on a guess: the sentence names the price that is missing."""
    with pytest.raises(InconsistentPrices, match=missing):
        Card("x/y", dict.fromkeys(kinds, Decimal(1)))


@pytest.mark.parametrize(
    ("fresh", "cached", "price"), [(200_000, 0, 3), (200_001, 0, 6), (1, 200_000, 6), (1, 199_999, 3)]
)
def test_the_long_context_threshold_counts_cached_tokens(fresh: int, cached: int, price: int) -> None:
    """A tier is reached by all input tokens together, and then the whole request pays its price."""
    tier = Tiered(Decimal(3), ((200_000, Decimal(6)),))
    card = Card("x/y", {"input_tokens": tier, "cache_read_tokens": Decimal(0), "output_tokens": Decimal(15)})
    usage = Usage(counts={"input_tokens": fresh, "cache_read_tokens": cached, "output_tokens": 10})
    for _ in range(2):
        assert card.cost(usage).input_usd == Decimal(fresh * price) / 10**6


def test_what_has_no_price_is_named() -> None:
    """Dollars that do not cover a web search say so; the rest is priced."""
    card = Card("x/y", {"input_tokens": Decimal(1), "output_tokens": Decimal(2)})
    usage = Usage(counts={"input_tokens": 10**6, "web_searches": 3})
    for _ in range(2):
        cost = card.cost(usage)
        assert cost.usd == 1
        assert cost.unpriced == "no price for web_searches (3)"


def test_a_free_model_costs_nothing_and_is_not_unpriced() -> None:
    """A list without any prices is that of a free model; what is not tokens is still named."""
    card = Card("x/y", {})
    for _ in range(2):
        assert card.cost(Usage(counts={"input_tokens": 5, "output_tokens": 5})) == Cost(usd=Decimal(0), price="x/y")
    assert card.cost(Usage(counts={"web_searches": 1})).unpriced == "no price for web_searches (1)"


def test_an_unknown_split_is_refused_only_where_it_matters() -> None:
    """Tokens that may be cached audio have no cost where cached audio has a price of its own, and one where not."""
    counts: dict[Kind, Count] = {"input_tokens": 10, "cache_read_tokens": 10, "input_audio_tokens": 10}
    usage = Usage(counts=counts, unsplit=("cache_audio_read_tokens",))
    kinds: list[Kind] = ["input_tokens", "cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens"]
    refused = Card("x/y", dict.fromkeys(kinds, Decimal(1))).cost(usage)
    assert refused.usd is None
    assert "cache_audio_read_tokens" in (refused.unpriced or "")
    assert Card("x/y", {"input_tokens": Decimal(1)}).cost(usage).usd == Decimal("0.00003")


def test_a_request_has_its_fee_once() -> None:
    """A fee for each request is billed with every call, also one that used nothing else, and belongs to the tools."""
    card = Card("x/y", {"input_tokens": Decimal(1), "output_tokens": Decimal(1), "requests": Decimal(5)})
    assert card.cost(Usage(counts={})).tool_usd == Decimal("0.005")
    assert card.cost(Usage(counts={"input_tokens": 10**6})).usd == Decimal("1.005")


@pytest.mark.parametrize(("seconds", "billed"), [("3.5", "10"), ("10", "10"), ("61.25", "61.25")])
def test_short_audio_pays_the_minimum(seconds: str, billed: str) -> None:
    """Where a provider bills at least ten seconds, less audio costs as much as ten seconds."""
    card = Card("x/y", {"audio_seconds": Decimal(36), "input_audio_seconds": Decimal(36)}, minimum_seconds=10)
    kinds: list[Kind] = ["audio_seconds", "input_audio_seconds"]
    for kind in kinds:
        assert card.cost(Usage(counts={kind: Decimal(seconds)})).usd == Decimal(billed) / 100
    assert card.cost(Usage(counts={})).usd == 0


@given(PRICES, st.integers(min_value=0, max_value=10**80))
def test_counts_of_any_size_are_priced_or_refused(price: Decimal, count: int) -> None:
    """Numbers that no provider means still give a cost whose parts sum to it, and no exception."""
    cost = Card("x/y", {"input_tokens": price, "output_tokens": price}).cost(Usage(counts={"input_tokens": count}))
    assert sum_of_parts(cost) == cost.usd


def listed(price: int, **period: Any) -> PriceList:
    return PriceList(prices={"input_tokens": Decimal(price)}, period=Period(**period))


def test_the_last_list_that_applies_is_used_and_else_the_first() -> None:
    """Dated prices: each from its day on; before the first day the first list counts all the same."""
    prices = ModelPrices("x/y", [listed(1, start=100.0), listed(2, start=200.0), listed(3, start=300.0)])
    usage = Usage(counts={"input_tokens": 10**6})
    for at, price in [(0.0, 1), (100.0, 1), (199.9, 1), (200.0, 2), (299.9, 2), (300.0, 3), (1e12, 3)]:
        assert prices.quote(at, {}).card.cost(usage).usd == price


@given(st.floats(min_value=0, max_value=2e9), st.floats(min_value=0, max_value=200_000))
def test_a_quote_holds_until_it_says(at: float, later: float) -> None:
    """Within the time that a quote gives, the same card applies: nobody has to ask again."""
    prices = ModelPrices(
        "x/y",
        [
            listed(1),
            listed(2, daily=(1800.0, 59400.0), start=5e8),
            listed(3, daily=(79200.0, 3600.0), weekdays=frozenset({0, 4})),
            listed(4, weekdays=frozenset({5}), holidays=frozenset({20_000})),
            listed(5, start=1.9e9),
        ],
    )
    quote = prices.quote(at, {})
    assert quote.since <= at < quote.until
    if quote.since <= at + later < quote.until:
        assert prices.quote(at + later, {}).card is quote.card


SATURDAY = 20_785 * 86_400.0  # 2026-11-28
HOUR = 3_600.0


@pytest.mark.parametrize(
    ("period", "active", "inactive"),
    [
        (Period(weekdays=frozenset({5})), [SATURDAY, SATURDAY + 23.9 * HOUR], [SATURDAY - 1, SATURDAY + 24 * HOUR]),
        (Period(daily=(HOUR, 4 * HOUR), weekdays=frozenset(range(5))), [SATURDAY - 22 * HOUR], [SATURDAY + 2 * HOUR]),
        (Period(daily=(HOUR, 4 * HOUR), holidays=frozenset({20_785})), [SATURDAY - 22 * HOUR], [SATURDAY + 2 * HOUR]),
        (Period(daily=(HOUR, 4 * HOUR), start=SATURDAY), [SATURDAY + 2 * HOUR], [SATURDAY - 22 * HOUR]),
        # Friday's night lasts until Saturday morning; Saturday's does not begin.
        (
            Period(daily=(22 * HOUR, 6 * HOUR), weekdays=frozenset(range(5))),
            [SATURDAY - HOUR, SATURDAY + 5 * HOUR],
            [SATURDAY + 6 * HOUR, SATURDAY + 23 * HOUR, SATURDAY + 29 * HOUR, SATURDAY + 53 * HOUR],
        ),
    ],
)
def test_hours_hold_on_their_days_only(period: Period, active: list[float], inactive: list[float]) -> None:
    """Weekdays, holidays and the first day restrict the hours, by the day on which these begin."""
    assert [period.active(at) for at in active] == [True] * len(active)
    assert [period.active(at) for at in inactive] == [False] * len(inactive)


def test_the_first_variant_with_a_price_gives_it() -> None:
    """Variants replace single prices; of two that apply the first wins, price by price, and others do not count."""
    variants = [
        PriceList(prices={"input_tokens": Decimal(5)}, terms={"processing": "batch"}),
        PriceList(prices={"input_tokens": Decimal(7), "output_tokens": Decimal(8)}, terms={"service_tier": "flex"}),
    ]
    prices = ModelPrices("x/y", [PriceList(prices={"input_tokens": Decimal(1), "output_tokens": Decimal(2)})], variants)
    cases: list[tuple[dict[str, str], tuple[int, int]]] = [
        ({}, (1, 2)),
        ({"processing": "batch"}, (5, 2)),
        ({"service_tier": "flex"}, (7, 8)),
        ({"service_tier": "flex", "processing": "batch"}, (5, 8)),
        ({"service_tier": "FLEX"}, (1, 2)),
    ]
    for terms, expected in cases:
        card = prices.quote(0.0, terms).card
        million = 10**6
        kinds: list[Kind] = ["input_tokens", "output_tokens"]
        usd = [card.cost(Usage(counts={kind: million})).usd for kind in kinds]
        assert usd == [Decimal(price) for price in expected]
