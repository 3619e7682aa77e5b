"""A month with seven faults: each is named, with its dollars within one percent, and all of them add up exactly."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from otel_agentcost.core import money
from otel_agentcost.insight.reconcile.comparison import Comparison, compare, window_of
from otel_agentcost.insight.reconcile.findings import Finding
from otel_agentcost.store.bills import bill_source
from otel_agentcost.store.bills.bill import Ask, Bill
from otel_agentcost.testing.server import ModelServer
from tests.insight.reconcile.month import BOOK, FIRST, LAST, Happened, at, bill_of, cost, recorded, usual
from tests.store.bills.servers import KEY, OpenAIServer

NOW = datetime(2026, 12, 20, tzinfo=timezone.utc)
GPT_4O = "gpt-4o-2024-08-06"
NEW = {"input_tokens": Decimal("0.000007"), "output_tokens": Decimal("0.00003")}


def usd(calls: list[Happened]) -> Decimal:
    """The list price of calls."""
    return sum((usd for call in calls for usd in cost(call, call.counts).values()), start=Decimal(0))


def with_faults(calls: list[Happened]) -> tuple[list[Happened], dict[str, Decimal]]:
    """The month with all faults, and the dollars of each."""
    dollars: dict[str, Decimal] = {}
    outside = [
        Happened(at=at(5, 9), model=GPT_4O, counts={"input_tokens": 9000, "output_tokens": 1500}, recorded=False)
        for _ in range(17)
    ]
    dollars["outside"] = usd(outside)
    batch = [
        Happened(
            at=at(9, 3),
            model="gpt-4.1-mini-2025-04-14",
            counts={"input_tokens": 2000 + number, "output_tokens": 700},
            terms={"processing": "batch"},
            recorded=False,
        )
        for number in range(300)
    ]
    dollars["batch"] = usd(batch)
    late = [
        Happened(
            at=at(12, 23.9),
            billed_at=at(13, 0.2),
            model=GPT_4O,
            counts={"input_tokens": 8000, "output_tokens": 400},
        )
        for _ in range(20)
    ]
    dollars["late"] = usd(late)
    dollars["price"] = dollars["abandoned"] = dollars["tool"] = Decimal(0)
    changed: list[Happened] = []
    for number, call in enumerate(calls):
        mine = call
        day = datetime.fromtimestamp(call.at, timezone.utc).day
        if call.model == "gpt-5.6-luna" and day >= 15 and not call.terms.get("processing"):
            mine = replace(mine, discount=Decimal("0.88"))
            dollars["price"] -= usd([call]) * Decimal("0.12")
        if call.model == GPT_4O and day in (20, 21) and not call.terms.get("processing"):
            seen = {**call.counts, "output_tokens": call.counts["output_tokens"] // 4}
            mine = replace(mine, recorded_counts=seen)
            dollars["abandoned"] += usd([call]) - sum(cost(call, seen).values())
        if number % 50 == 0:
            mine = replace(mine, searches=3)
            dollars["tool"] += 3 * Decimal("0.01")
        changed.append(mine)
    fresh = [
        Happened(at=at(28, 2), model="gpt-9-nova", counts={"input_tokens": 5000, "output_tokens": 800}, unknown=NEW)
        for _ in range(25)
    ]
    dollars["new"] = usd(fresh)
    return [*changed, *outside, *batch, *late, *fresh], dollars


def found(calls: list[Happened]) -> Comparison:
    """The comparison of the month."""
    return compare(bill_of(calls), recorded(calls), BOOK, window_of(FIRST, LAST, NOW))


def the_one(comparison: Comparison, cause: str, model: str, tier: str = "") -> Finding:
    """The only finding of a cause and model."""
    (finding,) = (each for each in comparison.findings if (each.cause, each.model, each.tier) == (cause, model, tier))
    return finding


@pytest.fixture(scope="module")
def month() -> tuple[Comparison, dict[str, Decimal]]:
    """The month with all faults."""
    calls, dollars = with_faults(list(usual()))
    return found(calls), dollars


@pytest.mark.parametrize(
    ("fault", "cause", "model", "tier", "days"),
    [
        ("outside", "coverage", "gpt-4o", "", ("2026-11-05", "2026-11-05")),
        ("batch", "coverage", "gpt-4.1-mini", "batch", ("2026-11-09", "2026-11-09")),
        ("price", "price", "gpt-5.6-luna", "", None),
        ("abandoned", "usage", "gpt-4o", "", ("2026-11-20", "2026-11-21")),
        ("tool", "tools", "", "", None),
        ("new", "unknown model", "gpt-9-nova", "", ("2026-11-28", "2026-11-28")),
    ],
)
def test_each_fault_is_named_with_its_dollars(
    month: tuple[Comparison, dict[str, Decimal]],
    fault: str,
    cause: str,
    model: str,
    tier: str,
    days: tuple[str, str] | None,
) -> None:
    """Its cause, its model, its tier and its days, within one percent of the dollars."""
    comparison, dollars = month
    finding = the_one(comparison, cause, model, tier)
    assert abs(money.from_nano(finding.nusd) - dollars[fault]) <= abs(dollars[fault]) / 100
    assert days in (None, (finding.first, finding.last))


def test_a_shifted_day_is_a_matter_of_time(month: tuple[Comparison, dict[str, Decimal]]) -> None:
    """What is billed a day later is named, and adds nothing to the difference."""
    comparison, dollars = month
    finding = the_one(comparison, "time", "gpt-4o")
    assert finding.nusd == 0
    assert abs(money.from_nano(finding.moved) - dollars["late"]) <= dollars["late"] / 100
    assert (finding.first, finding.last) == ("2026-11-12", "2026-11-13")


def test_the_causes_add_up_to_the_difference(month: tuple[Comparison, dict[str, Decimal]]) -> None:
    """To the billionth of a dollar, in each cell, in all of them, and in the findings."""
    comparison, _ = month
    for cell in comparison.differences:
        assert sum(cell.causes.values()) == cell.billed - cell.counted
    difference = comparison.billed - comparison.recorded
    assert sum(comparison.causes.values()) == sum(finding.nusd for finding in comparison.findings) == difference


def test_nothing_else_is_found(month: tuple[Comparison, dict[str, Decimal]]) -> None:
    """The rest is rounding: less than a ten-thousandth of the bill."""
    comparison, _ = month
    named = {("coverage", "gpt-4o"), ("coverage", "gpt-4.1-mini"), ("price", "gpt-5.6-luna"), ("usage", "gpt-4o")}
    named |= {("tools", ""), ("unknown model", "gpt-9-nova"), ("time", "gpt-4o")}
    rest = [one for one in comparison.findings if (one.cause, one.model) not in named]
    assert sum(one.size for one in rest) < comparison.billed / 10_000, rest


def test_the_sentences_say_what_to_do(month: tuple[Comparison, dict[str, Decimal]]) -> None:
    """Requests, percent and days are in them."""
    comparison, _ = month
    assert "17 requests of gpt-4o-2024-08-06" in the_one(comparison, "coverage", "gpt-4o").text
    assert (
        "300 requests of gpt-4.1-mini-2025-04-14 (batch)"
        in the_one(comparison, "coverage", "gpt-4.1-mini", "batch").text
    )
    assert "12 % below" in the_one(comparison, "price", "gpt-5.6-luna").text
    assert "web search" in the_one(comparison, "tools", "").text
    suspects = [(one.model, one.why) for one in comparison.suspects]
    assert (GPT_4O, "their tokens were estimated") in suspects
    assert ("gpt-9-nova", "they have no price, or only for a part") in suspects


def test_the_faults_are_found_in_what_openai_sends(month: tuple[Comparison, dict[str, Decimal]]) -> None:
    """Its costs do not say which dollars are of batches: they are shared out by what was used, and add up all the same.

    A price that only one tier has is then seen in all tiers of the model, with the same dollars.
    """
    calls, dollars = with_faults(list(usual()))
    truth = bill_of(calls)
    with ModelServer() as http:
        http.responder = as_openai_sends_it(truth)
        ask = Ask(FIRST, LAST, {"OPENAI_ADMIN_KEY": KEY}, f"{http.url}/v1")
        bill = bill_source("openai").fetch(ask)
    comparison = compare(bill, recorded(calls), BOOK, window_of(FIRST, LAST, NOW))
    assert abs(comparison.billed - month[0].billed) < 1000
    assert sum(comparison.causes.values()) == comparison.billed - comparison.recorded
    for fault, cause, model, tier in FAULTS:
        tiers = ("", "batch") if cause == "price" else (tier,)
        found_usd = money.from_nano(sum(the_one(comparison, cause, model, each).nusd for each in tiers))
        assert abs(found_usd - dollars[fault]) <= abs(dollars[fault]) / 100, fault
    assert "web search" in the_one(comparison, "tools", "").text


FAULTS = (
    ("outside", "coverage", "gpt-4o", ""),
    ("batch", "coverage", "gpt-4.1-mini", "batch"),
    ("price", "price", "gpt-5.6-luna", ""),
    ("abandoned", "usage", "gpt-4o", ""),
    ("tool", "tools", "", ""),
    ("new", "unknown model", "gpt-9-nova", ""),
)


def as_openai_sends_it(bill: Bill) -> OpenAIServer:
    """A server with the costs by line item, without tiers, and the usage by model, batch and tier."""
    server = OpenAIServer(size=7)
    amounts: dict[tuple[str, str], int] = {}
    for line in bill.lines:
        names = {"cache read": "cached input"}
        item = f"{line.model}, {names.get(line.kind, line.kind)}" if line.model else "web search tool calls"
        amounts[line.day, item] = amounts.get((line.day, item), 0) + line.nusd
    server.costs = [(day, item, nusd / 10**9, None) for (day, item), nusd in amounts.items()]
    for used in bill.usage:
        tokens = used.tokens
        result = {
            "model": used.model,
            "batch": used.tier == "batch",
            "service_tier": "default",
            "num_model_requests": used.requests,
            "input_tokens": tokens.get("input", 0) + tokens.get("cache read", 0),
            "input_cached_tokens": tokens.get("cache read", 0),
            "output_tokens": tokens.get("output", 0),
        }
        server.usage.append((used.day, result))
    return server


def test_a_month_without_faults_has_no_difference() -> None:
    """But for the billionths that each recorded call is rounded up by."""
    comparison = found(list(usual()))
    assert abs(comparison.billed - comparison.recorded) <= 40 * 30
    assert comparison.billed > 10**9
