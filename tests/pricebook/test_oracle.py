"""The price book against the genai-prices library: all of its models, digit for digit, refusals included."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import PRICE_KEYS
from otel_agentcost.core.usage import DIMENSIONS, Usage
from otel_agentcost.pricebook import Found, Missing, PriceBook, open_book
from tests.pricebook import oracle

pytestmark = oracle.needs_library

TERMS: list[tuple[tuple[str, str], ...]] = [
    (),
    (("processing", "batch"),),
    (("service_tier", "default"),),
    (("service_tier", "flex"),),
    (("service_tier", "priority"),),
    (("service_tier", "fast"),),
    (("service_tier", "Priority"),),
    (("speed", "fast"),),
    (("processing", "batch"), ("service_tier", "priority")),
    (("route", "mistral/eu"),),
    (("search_type", "fast"),),
    (("search_type", "web"),),
]


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return open_book()


def moments(model: Any, rng: random.Random) -> list[float]:
    """Now, long ago, and the moments round each change of the model's prices."""
    found = [datetime(2026, 11, 22, 14, tzinfo=timezone.utc).timestamp(), rng.uniform(1.6e9, 1.9e9) // 1]
    entries = [*(model.prices if isinstance(model.prices, list) else []), *(model.price_variants or [])]
    for entry in entries:
        if (day := getattr(entry.constraint, "start_date", None)) is not None:
            midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()
            found += [midnight - 1, midnight]
        if (begin := getattr(entry.constraint, "start_time", None)) is not None:
            for edge in (begin, entry.constraint.end_time):
                moment = datetime.combine(datetime(2026, 11, 20).date(), edge, tzinfo=timezone.utc).timestamp()
                found += [moment - 0.5, moment]
    return found


def assert_near(ours: Decimal, theirs: Decimal | None, what: object) -> None:
    """Equal, but for the 28th digit: what rounding took from the sum must be found in one of our parts."""
    assert theirs is not None
    assert abs(ours - theirs) <= Decimal("1e-24") * max(theirs, Decimal(10**6)), what


def assert_same(ours: Cost, theirs: oracle.Verdict, usage: Usage, what: object) -> None:
    assert ours.usd == theirs.usd, (what, usage, ours, theirs)
    if theirs.usd is None:
        assert ours.unpriced, what
        return
    total = Decimal(0)
    for part in (ours.input_usd, ours.output_usd, ours.cache_read_usd, ours.cache_write_usd, ours.tool_usd):
        total = money.wide_add(total, part)
    assert total == ours.usd, (what, usage, ours)
    priced = {PRICE_KEYS[key].kind for key in theirs.priced}
    if "audio_seconds" not in priced:  # that price has no direction, and the library counts it to neither side
        input_usd = money.wide_add(ours.input_usd, money.wide_add(ours.cache_read_usd, ours.cache_write_usd))
        assert_near(ours.output_usd, theirs.output_usd, (what, usage, ours, theirs))
        assert_near(input_usd, theirs.input_usd, (what, usage, ours, theirs))
    without = {kind for kind in usage.counts if not any(DIMENSIONS[unit] <= DIMENSIONS[kind] for unit in priced)}
    if not priced:  # a free model
        without = {kind for kind in without if ("family", "tokens") not in DIMENSIONS[kind]}
    for kind in usage.counts:
        assert (f"{kind} (" in (ours.unpriced or "")) == (kind in without), (what, usage, ours.unpriced)


def test_every_model_of_the_library_costs_the_same_here(book: PriceBook) -> None:
    """Every model, by every name that its rules are about, over usages, dates and terms: equal to the last digit."""
    rng = random.Random(20261122)
    compared: Counter[str] = Counter()
    for provider in oracle.providers():
        for model in provider.models:
            names = list(dict.fromkeys(oracle.names_of(model, rng)))
            instants = moments(model, rng)
            contexts = TERMS if model.price_variants else TERMS[:2]
            rounds = max(len(names), len(instants), 4)
            for turn, usage in enumerate(oracle.usages(rng, rounds)):
                name = names[turn % len(names)]
                at = instants[turn % len(instants)]
                terms = contexts[turn % len(contexts)] if turn % 3 else rng.choice(contexts)
                theirs = oracle.verdict(usage, name, provider=provider.id, at=at, terms=terms)
                ours = book.price(usage, provider=provider.id, base_url=None, models=(name,), at=at, terms=terms)
                if theirs.usd is None and ours.usd is not None:
                    prefix = name.lower().split("/")[0]
                    assert "/" in name or "models" in name, (provider.id, name, ours)
                    compared[f"beyond the library: {prefix}/"] += 1
                    continue
                assert_same(ours, theirs, usage, (provider.id, name, at, terms))
                compared["refused alike" if theirs.usd is None else "priced alike"] += 1
            compared["models"] += 1
    print(dict(compared))
    assert compared["models"] == 2330
    assert compared["priced alike"] > 9_000
