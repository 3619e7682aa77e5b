"""The split of a difference: exact for anything that a bill and a record can say."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost.insight.reconcile.comparison import compare, pieces, window_of
from otel_agentcost.insight.reconcile.kinds import bill_kind, shares
from otel_agentcost.insight.reconcile.split import moved
from otel_agentcost.store.bills.bill import Bill, BillLine, Sort, UsageLine
from otel_agentcost.store.single_calls import Recorded
from tests.insight.reconcile.month import BOOK
from tests.store.recorded import a_record

SINCE, UNTIL = date(2026, 11, 1), date(2026, 11, 8)
NOW = datetime(2026, 11, 7, 12, tzinfo=timezone.utc)
DAYS = st.integers(1, 7).map(lambda day: f"2026-11-{day:02d}")
MODELS = st.sampled_from(["gpt-4o", "gpt-4.1-mini", "nobody-knows"])
TIERS = st.sampled_from(["", "batch", "flex"])
KINDS = st.sampled_from(["input", "output", "cache read", ""])
SORTS: st.SearchStrategy[Sort] = st.sampled_from(["tokens", "tool", "other"])
NUMBERS = st.integers(0, 10**7)

BILL_LINES = st.builds(
    BillLine,
    DAYS,
    MODELS,
    st.none() | TIERS,
    KINDS,
    SORTS,
    st.integers(-(10**12), 10**12),
    st.none() | st.integers(0, 10**12),
    st.none() | NUMBERS,
)
USAGE_LINES = st.builds(
    UsageLine,
    DAYS,
    MODELS,
    TIERS,
    st.none() | st.integers(0, 1000),
    st.dictionaries(st.sampled_from(["input", "output"]), NUMBERS),
)


@st.composite
def rows(draw: st.DrawFn) -> Recorded:
    """Any recorded call."""
    day, nusd = draw(st.integers(1, 7)), draw(st.none() | st.integers(0, 10**12))
    batch = draw(st.booleans())
    kinds = st.sampled_from(["input_tokens", "cache_read_tokens", "output_tokens", "web_searches"])
    return a_record(
        at=datetime(2026, 11, day, 8, tzinfo=timezone.utc).timestamp(),
        provider="openai",
        requested=draw(MODELS),
        terms={"processing": "batch"} if batch else {},
        source=draw(st.sampled_from(["list", "estimated", "provider"])),
        unpriced="" if nusd is not None else "nobody knows",
        error=draw(st.sampled_from(["", "TimeoutError"])),
        nusd=nusd,
        counts=draw(st.dictionaries(kinds, NUMBERS)),
    )


@settings(max_examples=150)
@given(
    lines=st.lists(BILL_LINES, max_size=12),
    usage=st.lists(USAGE_LINES, max_size=6),
    calls=st.lists(rows(), max_size=12),
)
def test_the_causes_are_the_difference_exactly(
    lines: list[BillLine], usage: list[UsageLine], calls: list[Recorded]
) -> None:
    """No dollar of the bill or of the record is lost, whatever they say."""
    bill = Bill(provider="openai", names=frozenset({"openai"}), origin="", lines=lines, usage=usage)
    found = compare(bill, calls, BOOK, window_of(SINCE, UNTIL, NOW))
    assert found.billed == sum(line.nusd for line in lines)
    assert found.recorded == sum(call.nusd or 0 for call in calls)
    for cell in found.differences:
        assert sum(cell.causes.values()) == cell.difference
    assert sum(found.causes.values()) == sum(one.nusd for one in found.findings) == found.billed - found.recorded


@given(total=st.integers(-(10**15), 10**15), weights=st.lists(st.decimals(-1, 10**9, allow_nan=False), min_size=1))
def test_shares_add_up(total: int, weights: list[Decimal]) -> None:
    """Whatever the weights are."""
    assert sum(shares(total, weights)) == total


def test_what_two_days_lack_is_moved_between_them() -> None:
    """Only between days next to each other, where something can have moved."""
    assert moved([-5, 5, 0, 3], [True, True, True]) == [[-5, 5], [0, 0], [0, 0]]
    assert moved([-5, 8, -1], [True, True]) == [[-5, 5], [1, -1]]
    assert moved([-5, 5], [False]) == [[0, 0]]
    assert moved([4, 0, -4], [True, True]) == [[0, 0], [0, 0]]


def test_an_open_day_is_a_matter_of_time() -> None:
    """Its bill is not complete; the days before may still change for two days."""
    window = window_of(SINCE, UNTIL, NOW)
    assert window.opened == {"2026-11-07"}
    assert window.provisional == {"2026-11-05", "2026-11-06", "2026-11-07"}
    line = BillLine("2026-11-07", "gpt-4o", "", "input", "tokens", 10**9, None, 100)
    bill = Bill(provider="openai", names=frozenset({"openai"}), origin="", lines=[line])
    (cell,) = compare(bill, [], BOOK, window).differences
    assert (cell.causes, cell.provisional) == ({"time": 10**9}, True)


def test_kinds_have_the_names_of_bills() -> None:
    """Reasoning is output, and what a cache keeps for an hour costs more than for five minutes."""
    kinds = ("output_reasoning_tokens", "cache_write_1h_tokens", "cache_write_5m_tokens", "input_audio_tokens")
    assert [bill_kind(kind) for kind in kinds] == ["output", "cache write 1h", "cache write", "audio input"]


def test_names_for_people_are_those_of_the_api() -> None:
    """AWS's and Google's exports name a model otherwise than its API."""
    assert pieces("Claude4.6Sonnet") == pieces("us.anthropic.claude-sonnet-4-6-20260115-v1:0")
    assert pieces("Nova2.0Lite") != pieces("amazon.nova-pro-v1:0")
    assert pieces("Gemini 2.5 Flash") == pieces("gemini-2.5-flash")
    assert pieces("Gemini 2.5 Flash Lite") != pieces("gemini-2.5-flash")
