"""Bills whose names and kinds are not those of calls: they meet, and a bill that is right has no difference."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core import money
from otel_agentcost.insight.reconcile.comparison import Comparison, compare, window_of
from otel_agentcost.insight.reconcile.kinds import bill_kind
from otel_agentcost.insight.reconcile.proposals import price_file, proposals
from otel_agentcost.insight.repricing import by_kind, card_of, usage_of
from otel_agentcost.pricebook import open_book
from otel_agentcost.store.bills.bill import Bill, BillLine, UsageLine
from otel_agentcost.store.bills.openrouter import _MERGED
from otel_agentcost.store.single_calls import Recorded
from tests.insight.reconcile.month import BOOK
from tests.store.recorded import a_record

DAY = "2026-11-03"
AT = datetime(2026, 11, 3, 9, tzinfo=timezone.utc).timestamp()
COUNTS = {"input_tokens": 100_000, "cache_read_tokens": 50_000, "output_tokens": 20_000}


def dollars(provider: str, model: str) -> dict[str, Decimal]:
    """The dollars of a call by kind."""
    card = card_of(BOOK, provider, (model,), {}, AT)
    assert card is not None, model
    return by_kind(card, COUNTS)


def a_row(provider: str, model: str) -> Recorded:
    """A recorded call."""
    usd = sum(dollars(provider, model).values(), start=Decimal(0))
    return a_record(at=AT, provider=provider, requested=model, nusd=money.to_nano(usd), counts=COUNTS)


def compared(bill: Bill, calls: list[Recorded]) -> Comparison:
    """The comparison of one day."""
    now = datetime(2026, 11, 20, tzinfo=timezone.utc)
    return compare(bill, calls, BOOK, window_of(date(2026, 11, 3), date(2026, 11, 4), now))


@pytest.mark.parametrize(
    ("provider", "model", "billed"),
    [
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude4.5Sonnet"),
        ("gcp.gemini", "gemini-2.5-flash", "Gemini 2.5 Flash"),
        ("gcp.vertex_ai", "models/gemini-2.5-flash-lite", "Gemini 2.5 Flash Lite"),
    ],
)
@pytest.mark.parametrize("seen", [True, False])
def test_names_for_people_meet_those_of_calls(provider: str, model: str, billed: str, seen: bool) -> None:
    """Without requests in the bill, what nobody has recorded is a matter of coverage."""
    lines = [
        BillLine(DAY, billed, "", bill_kind(kind), "tokens", money.to_nano(usd), None, COUNTS[kind])
        for kind, usd in dollars(provider, model).items()
    ]
    bill = Bill(provider="theirs", names=frozenset({provider}), origin="", lines=lines)
    calls = [a_row(provider, model)] * (1 if seen else 0) + [a_row(provider, model)._replace(at=AT + 86_400 * 9)]
    found = compared(bill, calls[: 1 if seen else 0])
    difference = found.billed - found.recorded
    assert sum(found.causes.values()) == difference
    assert abs(difference) <= 3 if seen else difference == found.billed > 10**6
    if not seen:
        assert found.causes["coverage"] + found.causes["unknown model"] + found.causes["price"] == difference


def test_a_price_that_an_export_shows_can_be_written(tmp_path: Path) -> None:
    """Under the name that the price book knows."""
    provider, model = "aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    usd = {kind: amount * Decimal("0.9") for kind, amount in dollars(provider, model).items()}
    lines = [
        BillLine(DAY, "Claude4.5Sonnet", "", bill_kind(kind), "tokens", money.to_nano(amount), None, COUNTS[kind])
        for kind, amount in usd.items()
    ]
    bill = Bill(provider="aws", names=frozenset({provider}), origin="", lines=lines)
    (proposal,) = proposals(compared(bill, [a_row(provider, model)]))
    assert (proposal.ratio, proposal.since) == (Decimal("0.900"), DAY)
    file = tmp_path / "own.json"
    file.write_text(json.dumps(price_file([proposal], BOOK, provider)), encoding="utf-8")
    book = open_book(file)
    assert not book.problems
    cost = book.price(usage_of(COUNTS), provider=provider, base_url=None, models=(model,), at=AT)
    assert cost.usd == sum(usd.values(), start=Decimal(0))


def test_one_amount_for_all_tokens_is_shared_out() -> None:
    """OpenRouter's activity has prompt and completion tokens: cached ones are among them."""
    provider, model = "openrouter", "openai/gpt-4.1"
    row = a_row(provider, model)
    line = BillLine(DAY, model, "", "", "tokens", row.nusd or 0)
    used = UsageLine(DAY, model, "", 1, {"input": 150_000, "output": 20_000})
    bill = Bill(provider=provider, names=frozenset({provider}), origin="", lines=[line], usage=[used], merged=_MERGED)
    found = compared(bill, [row])
    assert found.billed == found.recorded
    assert {cell.kind for cell in found.differences} == {"input", "output"}
    assert found.causes["coverage"] == found.causes["usage"] == sum(found.causes.values()) == 0
