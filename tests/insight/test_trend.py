"""The change between two periods: its parts add up to it exactly, and each has its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core.usage import Usage
from otel_agentcost.insight.report import Period, Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.insight.trend import CELLS, TOKEN_TYPES, Cell, cells, change, split
from otel_agentcost.pricebook import open_book
from otel_agentcost.settings import Settings
from otel_agentcost.store.questions import Line, Sums
from tests.insight.recorded_calls import BEGAN, Recording, opened, reported
from tests.store.recorded import a_call, writer_of

RATES = {"input": Decimal(4), "cache_read": Decimal(1), "cache_write": Decimal(5), "output": Decimal(20)}


def rates(_provider: str, price: str, _terms: str) -> Mapping[str, Decimal] | None:
    return {**RATES, "reasoning": Decimal(20)} if price else None


def a_line(model: str, nusd: int, calls: int, price: str = "p/m", **tokens: int) -> Line:
    return Line(("p", model, price, "", "", ""), Sums(calls=calls, priced=calls, nusd=nusd, **tokens))


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """The sums of any calls of a model."""
    read, write, fresh = (draw(st.integers(0, 10**6)) for _ in range(3))
    reasoning = draw(st.integers(0, 1000))
    return a_line(
        draw(st.sampled_from("abc")),
        draw(st.integers(0, 10**15)),
        draw(st.integers(0, 100)),
        draw(st.sampled_from(["", "p/m"])),
        input=read + write + fresh,
        cache_read=read,
        cache_write=write,
        output=reasoning + draw(st.integers(0, 1000)),
        reasoning=reasoning,
    )


@given(before=st.lists(lines(), max_size=6), now=st.lists(lines(), max_size=6))
def test_the_parts_add_up_to_the_difference(before: list[Line], now: list[Line]) -> None:
    """To the billionth of a dollar, and both ends are the sums of what is priced."""
    found = change(before, now, rates, rates)
    assert found.volume + found.mix + found.price == found.now - found.before
    for end, whole in ((before, found.before), (now, found.now)):
        assert whole == sum(line.sums.nusd for line in end if line.sums.priced or line.sums.nusd)


@given(
    st.dictionaries(
        st.integers(0, 5), st.builds(Cell, st.integers(1, 10**9), st.integers(0, 10**15)), min_size=1, max_size=6
    ),
    st.integers(1, 100),
    st.integers(1, 9),
)
def test_each_part_is_alone_where_only_it_changed(before: dict[object, Cell], calls: int, times: int) -> None:
    """More of the same is volume, the same at other prices is price."""
    more = {key: Cell(cell.quantity * times, cell.nusd * times) for key, cell in before.items()}
    whole = sum(cell.nusd for cell in before.values())
    assert split(before, calls, more, calls * times)[2:] == (whole * (times - 1), 0, 0)
    dearer = {key: cell._replace(nusd=cell.nusd * times) for key, cell in before.items()}
    assert split(before, calls, dearer, calls)[2:] == (0, 0, whole * (times - 1))
    assert split({}, 0, before, calls)[2:] == (whole, 0, 0)


def test_more_cached_tokens_are_mix_and_no_price() -> None:
    """The dollars of a line are split over its types of tokens, so that a better cache is no cheaper price."""
    before = [a_line("m", 4_000, 1, input=1000)]
    now = [a_line("m", 1_750, 1, input=1000, cache_read=750)]
    assert change(before, now, rates, rates)[2:] == (0, -2_250, 0)
    assert cells(now, rates)[0] == {
        ("p", "m", "", "", "input"): (250, 1_000),
        ("p", "m", "", "", "cache_read"): (750, 750),
    }


def test_a_new_price_and_more_of_another_type_are_apart() -> None:
    """Input halves from 2 to 1 and is sent twice as often; output stays at 8: the same dollars, for two reasons."""

    def at(price: int) -> Mapping[str, Decimal]:
        return {**dict.fromkeys(TOKEN_TYPES, Decimal(0)), "input": Decimal(price), "output": Decimal(8)}

    before, now = [a_line("m", 10_000, 1, input=1000, output=1000)], [a_line("m", 10_000, 1, input=2000, output=1000)]
    found = change(before, now, lambda *_: at(2), lambda *_: at(1))
    assert (found.volume, found.mix, found.price) == (0, 2_000, -2_000)


def test_paid_tools_are_no_model_calls() -> None:
    """The same ten calls with ten searches are no more calls: the searches are mix."""
    before = [a_line("m", 4_000, 10, input=1000)]
    now = [*before, Line(("", "", "tool/search", "", "search", ""), Sums(tools=10, priced=10, nusd=500))]
    assert change(before, now, rates, rates)[2:] == (0, 500, 0)


def test_a_new_model_is_mix() -> None:
    """It has no price in the period before."""
    before, now = [a_line("m", 4_000, 1, input=1000)], [a_line("other", 9_000, 1, input=1000)]
    assert change(before, now, rates, rates)[2:] == (0, 5_000, 0)


def test_a_store_is_compared_with_the_period_before(tmp_path: Path) -> None:
    """Of the same length: three calls after one are twice as much more."""
    recording = Recording(tmp_path / "spend.db")
    recording.now -= 4 * 3600
    recording.call({"input_tokens": 1000}, after=0)  # before both, so that both are recorded as a whole
    recording.call({"input_tokens": 1000}, after=5 * 3600)
    for _ in range(3):
        recording.call({"input_tokens": 1000}, after=3600)
    recording.close()
    report = reported(recording.path, since=BEGAN + 2 * 3600, until=BEGAN + 5 * 3600)
    assert report.before is not None
    assert report.change == (1_000_000, 3_000_000, 2_000_000, 0, 0)
    assert report.change is not None
    assert report.change.difference == 2_000_000
    late = reported(recording.path, since=BEGAN + 6 * 3600, until=BEGAN + 7 * 3600)
    assert (late.change, late.no_trend) == (None, "There is no trend. Nothing was recorded in the period before.")
    assert reported(recording.path).no_trend == "There is no trend. All that is kept has no period before."
    assert len(CELLS) == 6


def test_each_period_has_the_prices_of_its_time(tmp_path: Path) -> None:
    """Calls before and after a new price are split by the one that they had: $2 of mix, -$2 of price."""
    file, store = tmp_path / "prices.yaml", tmp_path / "spend.db"
    file.write_text(
        "providers: {openai: {models: {dated-1: {prices: [{input_mtok: 2, output_mtok: 8}, "
        "{start_date: 2026-11-24, input_mtok: 1, output_mtok: 8}]}}}}",
        encoding="utf-8",
    )
    now, dated = BEGAN, open_book(file)
    writer = writer_of(store, clock=lambda: now)
    for back, tokens in ((20, 1), (9, 1_000_000), (3, 2_000_000)):
        now = BEGAN - back * 86_400
        counts: dict[Any, int] = {"input_tokens": tokens, "output_tokens": 1_000_000}
        cost = dated.price(Usage(counts=counts), provider="openai", base_url=None, models=("dated-1",), at=now)
        call = a_call(cost.usd, model="dated-1", counts=counts)
        writer.settled(call._replace(cost=cost, names=("chat", "openai", "dated-1", "dated-1")))
    writer.close()
    wanted = Wanted(period=Period(BEGAN - 7 * 86_400, None), now=BEGAN, zone=Settings().time_zone)
    with opened(store) as source:
        report = report_of(source, wanted, Repricing(dated))
    assert report.change == (10 * 10**9, 10 * 10**9, 0, 2 * 10**9, -2 * 10**9)


def test_what_is_ahead_is_no_part_of_the_length(tmp_path: Path) -> None:
    """At noon, today is compared with the twelve hours before it."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN - 48 * 3600)
    for _ in range(60):
        recording.call({"input_tokens": 1000}, after=3600)
    recording.close()
    report = reported(recording.path, since=BEGAN + 60, until=BEGAN + 86_400, now=BEGAN + 12 * 3600 + 60)
    assert report.before is not None
    assert report.before[0] == (BEGAN + 60 - 12 * 3600, BEGAN + 60)
    assert report.change == (12_000_000, 12_000_000, 0, 0, 0)


def test_a_short_period_is_compared_to_the_second(tmp_path: Path) -> None:
    """29 minutes more are no growth of half, where a call comes every minute."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN - 4 * 3600)
    for _ in range(6 * 60):
        recording.call({"input_tokens": 1000}, after=60)
    recording.close()
    report = reported(recording.path, since=BEGAN, until=BEGAN + 89 * 60)
    assert report.before is not None
    assert (report.before[1].calls, report.total.calls) == (89, 89)


@pytest.mark.parametrize(("hours", "compared"), [(26, True), (48, True), (20, False)])
def test_a_record_that_begins_within_the_period_before_gives_no_trend(
    tmp_path: Path, hours: int, compared: bool
) -> None:
    """Part of a day against a whole one would be a growth that there is not; an hour or so does not matter."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN - hours * 3600)
    for _ in range(hours + 20):
        recording.call({"input_tokens": 1000}, after=3600)
    recording.close()
    report = reported(recording.path, since=BEGAN, until=BEGAN + 86_400)
    assert (report.change is not None) is compared
    assert report.no_trend.startswith("There is no trend. The record begins within") is not compared


@pytest.mark.parametrize("nusd", [0, 1, 999_999_999_999])
def test_dollars_without_rates_stay_in_one_piece(nusd: int) -> None:
    """Of calls that the book cannot price, and of tools."""
    found, calls = cells([a_line("m", nusd, 3, "", input=10)], rates)
    assert (found, calls) == ({("p", "m", "", "", "call"): (3, nusd)}, 3)
