"""Periods as people write them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from otel_agentcost.store.periods import UnclearPeriod, period, start_of

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 18, 15, 20, tzinfo=UTC).timestamp()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("today", "2026-11-18T00:00+00:00"),
        ("Yesterday", "2026-11-17T00:00+00:00"),
        ("month", "2026-11-01T00:00+00:00"),
        ("24h", "2026-11-17T15:00+00:00"),
        ("7d", "2026-11-11T15:00+00:00"),
        ("2w", "2026-11-04T15:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00+00:00"),
        ("2026-11-01T09:30", "2026-11-01T09:30+00:00"),
        ("2026-11-01T09:30Z", "2026-11-01T09:30+00:00"),
        ("2026-11-01T09:30+02:00", "2026-11-01T07:30+00:00"),
        (date(2026, 11, 1), "2026-11-01T00:00+00:00"),
        (datetime(2026, 11, 1, 9, tzinfo=UTC), "2026-11-01T09:00+00:00"),
    ],
)
def test_a_beginning_is_understood(written: str | date, means: str) -> None:
    """Hours ago begin at a full hour, because sums of hours are kept for good."""
    assert start_of(written, NOW, UTC) == at(means)


def test_all_has_no_beginning() -> None:
    """It is everything that is kept."""
    assert period("all", None, NOW, UTC) == (None, None)


def test_days_are_those_of_the_time_zone() -> None:
    """Also where the clocks change: that day has 25 hours."""
    assert start_of("today", NOW, BERLIN) == at("2026-11-18T00:00+01:00")
    begins, ends = period("2026-10-25", "2026-10-25", NOW, BERLIN)
    assert begins == at("2026-10-25T00:00+02:00")
    assert begins is not None
    assert ends is not None
    assert timedelta(seconds=ends - begins) == timedelta(hours=25)


def test_a_day_at_the_end_is_included() -> None:
    """A time is not."""
    assert period("2026-11-01", "2026-11-02", NOW, UTC)[1] == at("2026-11-03T00:00+00:00")
    assert period("2026-11-01", "2026-11-02T12:00", NOW, UTC)[1] == at("2026-11-02T12:00+00:00")


@pytest.mark.parametrize("written", ["", "soon", "7", "2026-13-01", "7 parsecs", "999999d", "-1d", "2026-11-01T25:00"])
def test_what_is_no_time_is_quoted(written: str) -> None:
    """With what is allowed."""
    with pytest.raises(UnclearPeriod, match="write today, yesterday, month, all"):
        start_of(written, NOW, UTC)


def test_an_empty_period_is_an_error() -> None:
    """And so is one in the future."""
    with pytest.raises(UnclearPeriod, match="There is no time between since 2026-11-05 and until 2026-11-01"):
        period("2026-11-05", "2026-11-01", NOW, UTC)
    with pytest.raises(UnclearPeriod, match="is in the future"):
        period("2026-12-24", None, NOW, UTC)
