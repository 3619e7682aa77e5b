"""A synthetic month: calls as a store has them, and the provider's true bill of them, with faults put in between.

The truth is a list of calls. Each fault changes what the bill says, or what was recorded, of some of them, and says
how many dollars that is.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from otel_agentcost.core import money
from otel_agentcost.insight.reconcile.kinds import bill_kind
from otel_agentcost.insight.repricing import by_kind, card_of
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.store.bills.bill import Bill, BillLine, UsageLine, day_of, tier_of
from otel_agentcost.store.single_calls import Recorded
from tests.store.recorded import a_record

BOOK: PriceBook = open_book()
FIRST = date(2026, 11, 1)
LAST = date(2026, 12, 1)
"""The first day after the month."""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One call as it happened."""

    at: float
    model: str
    counts: Mapping[str, int]
    terms: Mapping[str, str] = field(default_factory=dict[str, str])
    billed_at: float | None = None
    discount: Decimal = Decimal(1)
    recorded: bool = True
    recorded_counts: Mapping[str, int] | None = None
    """What was recorded instead: an estimate."""
    searches: int = 0
    """Searches that nobody has recorded."""
    unknown: Mapping[str, Decimal] | None = None
    """The true dollars a token, for a model that the book does not know."""


def at(day: int, hour: float = 12.0) -> float:
    """A time of the month, in seconds since the epoch."""
    moment = datetime(FIRST.year, FIRST.month, 1, tzinfo=timezone.utc) + timedelta(days=day - 1, hours=hour)
    return moment.timestamp()


def usual(seed: int = 7, a_day: int = 40) -> Iterator[Happened]:
    """The calls of the month, of several models, in batches too."""
    some = random.Random(seed)
    models = ("gpt-4o-2024-08-06", "gpt-4.1-mini-2025-04-14", "gpt-5.6-luna")
    for day in range(1, 31):
        for _ in range(a_day):
            read = some.choice((0, 0, some.randrange(100, 3000)))
            counts = {"input_tokens": some.randrange(50, 4000), "cache_read_tokens": read}
            counts |= {"output_tokens": some.randrange(10, 900), "output_reasoning_tokens": some.choice((0, 120))}
            batch = some.random() < 0.2
            yield Happened(
                at=at(day, some.uniform(0.5, 23)),
                model=some.choice(models),
                counts={kind: number for kind, number in counts.items() if number},
                terms={"processing": "batch"} if batch else {"service_tier": "default"},
            )


def cost(call: Happened, counts: Mapping[str, int]) -> dict[str, Decimal]:
    """The true dollars by kind, at list price."""
    if call.unknown is not None:
        return {kind: call.unknown[kind] * number for kind, number in counts.items()}
    card = card_of(BOOK, "openai", (call.model,), call.terms, call.at)
    assert card is not None
    return by_kind(card, counts)


def recorded(calls: Iterable[Happened]) -> Iterator[Recorded]:
    """The rows of the store."""
    for call in calls:
        if not call.recorded:
            continue
        counts = call.recorded_counts if call.recorded_counts is not None else call.counts
        priced = call.unknown is None
        usd = sum(cost(call, counts).values(), start=Decimal(0)) if priced else None
        yield a_record(
            at=call.at,
            provider="openai",
            requested=call.model,
            served=call.model,
            price="openai/some" if priced else "",
            terms=call.terms,
            source=("estimated" if call.recorded_counts is not None else "list") if priced else "",
            unpriced="" if priced else f"no price for {call.model}",
            nusd=money.to_nano(usd) if usd is not None else None,
            counts=counts,
        )


def bill_of(calls: Iterable[Happened]) -> Bill:
    """What the provider bills for all of them, searches included, by day, model, tier and kind."""
    dollars: dict[tuple[str, str, str, str, bool], Decimal] = {}
    tokens: dict[tuple[str, str, str], dict[str, int]] = {}
    requests: dict[tuple[str, str, str], int] = {}
    for call in calls:
        day = day_of(call.billed_at if call.billed_at is not None else call.at)
        tier = tier_of(call.terms)
        requests[day, call.model, tier] = requests.get((day, call.model, tier), 0) + 1
        for kind, usd in cost(call, call.counts).items():
            key = (day, call.model, tier, bill_kind(kind), False)
            dollars[key] = dollars.get(key, Decimal(0)) + usd * call.discount
            used = tokens.setdefault((day, call.model, tier), {})
            used[bill_kind(kind)] = used.get(bill_kind(kind), 0) + call.counts[kind]
        if call.searches:
            key = (day, "", "", "web search", True)
            dollars[key] = dollars.get(key, Decimal(0)) + call.searches * Decimal("0.01")
    lines = [
        BillLine(day, model, tier, kind, "tool" if tool else "tokens", int((usd * 10**9).to_integral_value()))
        for (day, model, tier, kind, tool), usd in dollars.items()
    ]
    usage = [
        UsageLine(day, model, tier, requests[day, model, tier], used) for (day, model, tier), used in tokens.items()
    ]
    return Bill(provider="openai", names=frozenset({"openai"}), origin="the test", lines=lines, usage=usage)
