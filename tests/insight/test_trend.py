"""The change between two periods: its parts add up to it exactly, and each has its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.insight.trend import CELLS, Cell, cells, change, split
from otel_agentcost.store.questions import Line, Sums
from tests.insight.recorded_calls import BEGAN, Recording, reported

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
    found = change(before, now, rates)
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
    assert change(before, now, rates)[2:] == (0, -2_250, 0)
    assert cells(now, rates)[0] == {
        ("p", "m", "", "", "input"): (250, 1_000),
        ("p", "m", "", "", "cache_read"): (750, 750),
    }


def test_a_new_model_is_mix() -> None:
    """It has no price in the period before."""
    before, now = [a_line("m", 4_000, 1, input=1000)], [a_line("other", 9_000, 1, input=1000)]
    assert change(before, now, rates)[2:] == (0, 5_000, 0)


def test_a_store_is_compared_with_the_period_before(tmp_path: Path) -> None:
    """Of the same length: three calls after one are twice as much more."""
    recording = Recording(tmp_path / "spend.db")
    recording.call({"input_tokens": 1000}, after=3600)
    for _ in range(3):
        recording.call({"input_tokens": 1000}, after=3600)
    recording.close()
    report = reported(recording.path, since=BEGAN + 2 * 3600, until=BEGAN + 5 * 3600)
    assert report.before is not None
    assert report.change == (1_000_000, 3_000_000, 2_000_000, 0, 0)
    assert report.change is not None
    assert report.change.difference == 2_000_000
    assert reported(recording.path, since=BEGAN).change is None
    assert len(CELLS) == 6


@pytest.mark.parametrize("nusd", [0, 1, 999_999_999_999])
def test_dollars_without_rates_stay_in_one_piece(nusd: int) -> None:
    """Of calls that the book cannot price, and of tools."""
    found, calls = cells([a_line("m", nusd, 3, "", input=10)], rates)
    assert (found, calls) == ({("p", "m", "", "", "call"): (3, nusd)}, 3)
