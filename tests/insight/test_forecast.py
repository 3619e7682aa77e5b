"""Forecasts: of the month, and of the day on which a budget runs out."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from otel_agentcost.core import semconv
from otel_agentcost.insight.forecast import BEHIND, ENOUGH, Allowed, month, runs_out
from tests.insight.recorded_calls import BEGAN, Recording, reported

NOON = datetime(2026, 11, 16, 12, tzinfo=timezone.utc)
DOLLAR = 10**9


def days(amount: int, number: int = BEHIND, until: date | None = None) -> dict[date, int]:
    last = until or NOON.date()
    return {last - timedelta(days=back): amount for back in range(1, number + 1)}


def test_even_days_go_on() -> None:
    """Half of today and fourteen days are ahead; nothing varies, so that the range is a point."""
    spent = {**days(DOLLAR), NOON.date(): DOLLAR // 2}
    found = month(spent, NOON, date(2026, 1, 1))
    assert found is not None
    assert (found.month, found.spent, found.days) == ("2026-11", 15 * DOLLAR + DOLLAR // 2, BEHIND)
    assert found.low == found.likely == found.high == 30 * DOLLAR


def test_weekends_have_a_mean_of_their_own() -> None:
    """A month that ends with working days is no month of average days."""
    spent = {day: 0 if day.weekday() >= 5 else DOLLAR for day in days(0)}
    found = month(spent, NOON, date(2026, 1, 1))
    assert found is not None
    assert found.likely == 21 * DOLLAR - DOLLAR // 2  # ten working days and a half are ahead, ten behind


def test_too_few_days_give_no_forecast() -> None:
    """A record that began the day before yesterday says nothing about a month."""
    assert month(days(DOLLAR), NOON, NOON.date() - timedelta(days=ENOUGH - 1)) is None
    assert month(days(DOLLAR), NOON, NOON.date() - timedelta(days=ENOUGH)) is not None


@pytest.mark.parametrize("number", [6, 14, 28])
def test_the_range_holds_four_times_in_five(number: int) -> None:
    """For days that vary like one another, as long as the distribution is not too skewed."""
    generator, held, tries = random.Random(number), 0, 1500
    for _ in range(tries):

        def one() -> int:
            return round(max(0.0, generator.gauss(10, 3)) * DOLLAR)

        spent = {NOON.date() - timedelta(days=back): one() for back in range(1, number + 1)}
        midnight = NOON.replace(hour=0)
        found = month(spent, midnight, midnight.date() - timedelta(days=number))
        assert found is not None
        ahead = sum(one() for _ in range(15))
        held += found.low - found.spent <= ahead <= found.high - found.spent
    assert 0.75 <= held / tries <= 0.85


def test_a_budget_runs_out_on_a_day() -> None:
    """At a dollar a day, two and a half dollars last through today's half and two days."""
    spent, since = days(DOLLAR), date(2026, 1, 1)
    found = runs_out(Allowed("total:usd=9", "", 2_500_000_000, None), spent, NOON, since)
    assert found is not None
    assert (found.day, found.earliest) == (date(2026, 11, 18), date(2026, 11, 18))
    resets = datetime(2026, 11, 17, tzinfo=timezone.utc)
    found = runs_out(Allowed("total/day:usd=9", "", 2_500_000_000, resets), spent, NOON, since)
    assert found is not None
    assert (found.day, found.earliest) == (None, None)
    assert runs_out(Allowed("total:usd=9", "", 1, None), {}, NOON, NOON.date()) is None


def test_a_rolling_window_frees_what_gets_old() -> None:
    """At a dollar a day, a week of nine lasts. At two and a half, three last longer where a dollar a day gets old."""
    even, since, week = days(DOLLAR), date(2026, 1, 1), 7 * 86_400
    found = runs_out(Allowed("total/7d:usd=9", "", 2 * DOLLAR, None, week), even, NOON, since)
    assert found is not None
    assert (found.day, found.earliest) == (None, None)
    fell = {**days(3 * DOLLAR), **days(DOLLAR, 7)}
    for rolling, day in ((week, 18), (None, 17)):
        found = runs_out(Allowed("total/7d:usd=10", "", 3 * DOLLAR, None, rolling), fell, NOON, since)
        assert found is not None
        assert found.day == date(2026, 11, day)
    assert runs_out(Allowed("total/12h:usd=4", "", DOLLAR, None, 12 * 3600), even, NOON, since) is None


def test_spend_that_varies_can_end_a_budget_earlier() -> None:
    """The earliest day is that of the upper end of the range."""
    spent = {day: DOLLAR * (1 + 2 * (number % 2)) for number, day in enumerate(days(0))}
    found = runs_out(Allowed("total:usd=9", "", 20 * DOLLAR, None), spent, NOON, date(2026, 1, 1))
    assert found is not None
    assert found.day is not None
    assert found.earliest is not None
    assert found.earliest < found.day


def test_a_store_is_forecast_with_its_budgets(tmp_path: Path) -> None:
    """From its days, also those without calls; each budget by the spend of its own scope."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN - 40 * 86_400)
    for number in range(40):
        recording.call({"input_tokens": 1_000_000}, after=86_400, who={semconv.USER: f"u{number % 2}"})
    recording.close()
    left = 3 * DOLLAR
    budgets = (
        ("total", Allowed("total:usd=9", "", left, None)),
        ("user", Allowed("user:usd=9", "u0", left, None)),
        ("trace", Allowed("trace:usd=9", "7", left, None)),
    )
    report = reported(recording.path, until=BEGAN + 12 * 3600, budgets=budgets)
    assert report.month is not None
    assert (report.month.days, report.month.spent, report.month.likely) == (
        BEHIND,
        30 * DOLLAR,
        30 * DOLLAR + DOLLAR // 2,
    )
    whole, half = report.budgets
    assert (whole.day, half.day) == (date(2026, 12, 3), date(2026, 12, 6))
    assert whole.earliest == whole.day
    assert half.earliest is not None
    assert half.earliest < date(2026, 12, 6)
