"""Lines that a bill does not have yet, and lines that take dollars back: neither is another price."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any

import pytest

from otel_agentcost.insight.reconcile.comparison import Comparison, compare, window_of
from otel_agentcost.insight.reconcile.proposals import proposals
from otel_agentcost.store.bills.bill import Bill, BillLine, UsageLine
from otel_agentcost.store.single_calls import Recorded
from tests.insight.reconcile.month import BOOK
from tests.store.recorded import a_record, changed

MODEL = "gpt-4o-2024-08-06"
INPUT, OUTPUT = 25_000_000, 50_000_000
"""Billionths of a dollar: 10,000 tokens of input at $2.50, and 5,000 of output at $10 for a million."""
NOW = datetime(2026, 11, 7, 12, tzinfo=timezone.utc)
SETTLED, YESTERDAY = "2026-11-03", "2026-11-06"


def a_call(day: str, **more: Any) -> Recorded:
    """A recorded call."""
    row = a_record(
        at=datetime.fromisoformat(f"{day}T09:00:00+00:00").timestamp(),
        provider="openai",
        requested=MODEL,
        nusd=INPUT + OUTPUT,
        counts={"input_tokens": 10_000, "output_tokens": 5_000},
    )
    return changed(row, **more)


def line(day: str, kind: str, nusd: int, tokens: int | None = None, tier: str | None = None) -> BillLine:
    """A line of the costs."""
    return BillLine(day, MODEL, tier, kind, "tokens", nusd, None, tokens)


def used(day: str) -> UsageLine:
    """The usage of the call."""
    return UsageLine(day, MODEL, "", 1, {"input": 10_000, "output": 5_000})


def compared(lines: Sequence[BillLine], usage: Sequence[UsageLine], calls: Sequence[Recorded]) -> Comparison:
    """The comparison of a week."""
    bill = Bill(provider="openai", names=frozenset({"openai"}), origin="", lines=lines, usage=usage)
    return compare(bill, calls, BOOK, window_of(date(2026, 11, 1), date(2026, 11, 8), NOW))


def caused(comparison: Comparison) -> dict[str, int]:
    """The causes that are not 0."""
    return {cause: nusd for cause, nusd in comparison.causes.items() if nusd}


@pytest.mark.parametrize("usage", [[used(YESTERDAY)], []], ids=["the usage is there", "nothing is there"])
def test_a_bill_that_is_late_is_a_matter_of_time(usage: list[UsageLine]) -> None:
    """Costs come hours after the usage. The days may still change, and they show no price of your own."""
    found = compared([], usage, [a_call(YESTERDAY)])
    assert caused(found) == {"time": -INPUT - OUTPUT}
    assert {cell.provisional for cell in found.differences} == {True}
    (finding,) = found.findings
    assert finding.text == f"$0.075000 of {MODEL} is on another day in the bill, or not in it yet ({YESTERDAY}, UTC)."
    assert not proposals(found)


def test_tokens_that_stay_free_are_another_price() -> None:
    """Once the bill of the day cannot change any more: the provider gave them away."""
    found = compared([], [used(SETTLED)], [a_call(SETTLED)])
    assert caused(found) == {"price": -INPUT - OUTPUT}


def test_free_tokens_that_have_lines_are_not_late() -> None:
    """A line of $0 says that the bill is there."""
    lines = [line(YESTERDAY, "input", 0, 10_000), line(YESTERDAY, "output", 0, 5_000)]
    assert caused(compared(lines, [used(YESTERDAY)], [a_call(YESTERDAY)])) == {"price": -INPUT - OUTPUT}


def test_a_price_is_proposed_once_the_bill_is_settled() -> None:
    """A day whose dollars come in parts has no price."""
    lines = [line(YESTERDAY, "input", INPUT // 2), line(YESTERDAY, "output", OUTPUT // 2)]
    assert not proposals(compared(lines, [used(YESTERDAY)], [a_call(YESTERDAY)]))


def test_dollars_that_come_in_parts_are_a_matter_of_time() -> None:
    """The usage is whole, and half of its dollars are in the bill of a day that may still change."""
    lines = [line(YESTERDAY, "input", INPUT // 2), line(YESTERDAY, "output", OUTPUT // 2)]
    found = compared(lines, [used(YESTERDAY)], [a_call(YESTERDAY)])
    assert caused(found) == {"time": -INPUT // 2 - OUTPUT // 2}
    assert [finding.cause for finding in found.findings] == ["time"]
    settled = [line(SETTLED, "input", INPUT // 2), line(SETTLED, "output", OUTPUT // 2)]
    found = compared(settled, [used(SETTLED)], [a_call(SETTLED)])
    assert caused(found) == {"price": -INPUT // 2 - OUTPUT // 2}


@pytest.mark.parametrize(("billed", "late"), [(0.9, 0), (0.45, 0.45)], ids=["whole", "in parts"])
def test_a_contract_that_settled_days_show_is_a_price_on_days_that_may_change(billed: float, late: float) -> None:
    """10 % below the list: what is missing beyond it is late."""
    lines = [line(SETTLED, "input", int(INPUT * 0.9)), line(SETTLED, "output", int(OUTPUT * 0.9))]
    lines += [line(YESTERDAY, "input", int(INPUT * billed)), line(YESTERDAY, "output", int(OUTPUT * billed))]
    calls = [a_call(SETTLED), a_call(YESTERDAY)]
    found = caused(compared(lines, [used(SETTLED), used(YESTERDAY)], calls))
    whole = INPUT + OUTPUT
    assert found.get("time", 0) == -int(whole * late)
    assert found["price"] == -2 * int(whole * 0.1)


@pytest.mark.parametrize("last", [True, False])
def test_a_refund_doubles_no_tokens(*, last: bool) -> None:
    """Dollars that come back without tokens are a credit, wherever their line is, and no price of your own."""
    lines = [line(SETTLED, "input", INPUT, 10_000), line(SETTLED, "output", OUTPUT, 5_000)]
    lines.insert(2 if last else 0, line(SETTLED, "input", -20_000_000))
    found = compared(lines, [used(SETTLED)], [a_call(SETTLED)])
    assert caused(found) == {"other": -20_000_000}
    assert {cell.kind: cell.billed_tokens for cell in found.differences if cell.model} == {
        "input": 10_000,
        "output": 5_000,
    }
    (finding,) = found.findings
    assert f"an amount for credit for {MODEL} input" in finding.text
    assert not proposals(found)


@pytest.mark.parametrize("first", [10_000, None])
def test_tokens_of_several_lines_are_those_of_the_usage(first: int | None) -> None:
    """Where one of the lines has no number: the usage has counted the tokens of all of them, once."""
    lines = [line(SETTLED, "input", INPUT - 5, first), line(SETTLED, "input", 5), line(SETTLED, "output", OUTPUT)]
    assert caused(compared(lines, [used(SETTLED)], [a_call(SETTLED)])) == {}


def test_a_call_whose_cost_came_later_is_no_suspect() -> None:
    """One without a price is, also if only a part of its cost is unknown. Only the answer names its tier."""
    lines = [line(SETTLED, "input", INPUT), line(SETTLED, "output", OUTPUT)]
    pending = a_call(SETTLED, nusd=None, counts={}, source="", unpriced="the answer is billed later")
    later = a_call("2026-11-04", calls=0, resolves=1)
    flex = changed(later, terms={"service_tier": "flex"})
    for resolving in (later, flex):
        assert not compared(lines, [used(SETTLED)], [pending, resolving]).suspects
    batch = changed(pending, requested="")
    assert not compared(lines, [used(SETTLED)], [batch, flex]).suspects
    for open_still in (pending, a_call(SETTLED, unpriced="web search of x has no price")):
        found = compared(lines, [used(SETTLED)], [pending, later, open_still]).suspects
        assert [(one.calls, one.of, one.why) for one in found] == [(1, 2, "they have no price, or only for a part")]
