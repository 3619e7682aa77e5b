"""Prices by the hour that hold on some days only, of the data and of a user's file.

DeepSeek-V4-Pro in dollars per million tokens: 0.66 and 1.98; at peak hours 1.32 and 3.96.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import PriceBook, open_book

USAGE = Usage(counts={"input_tokens": 100_000, "output_tokens": 10_000})
LOW, PEAK = Decimal("0.0858"), Decimal("0.1716")


def usd(book: PriceBook, model: str, moment: str, provider: str = "deepseek") -> Decimal | None:
    at = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()
    return book.price(USAGE, provider=provider, base_url=None, models=(model,), at=at).usd


@pytest.mark.parametrize(
    ("moment", "price"),
    [
        ("2026-11-28T02:00", LOW),  # Saturday
        ("2026-11-29T07:00", LOW),  # Sunday
        ("2026-11-27T02:00", PEAK),  # Friday
        ("2026-11-27T09:59:59", PEAK),
        ("2026-11-27T10:00", LOW),
        ("2026-11-30T00:59:59", LOW),  # Monday
        ("2026-11-30T01:00", PEAK),
        ("2026-10-05T02:00", LOW),  # Monday of the National Day holidays
        ("2026-10-08T02:00", PEAK),  # the Thursday after them
        ("2026-09-25T07:00", LOW),  # Mid-Autumn, a Friday
        ("2026-08-17T02:00", PEAK),  # the first day of peak prices
        ("2026-08-14T02:00", Decimal("0.0522")),  # the Friday before: 0.435 and 0.87
    ],
)
def test_weekends_and_holidays_are_not_priced_as_peak_hours(moment: str, price: Decimal) -> None:
    """DeepSeek's peak hours are on Chinese working days."""
    assert usd(open_book(), "deepseek-v4-pro", moment) == price


def test_one_book_is_right_on_every_day_of_a_week() -> None:
    """What is remembered for one hour is not used for the next."""
    book = open_book()
    peak = {1, 2, 3, 6, 7, 8, 9}
    for day in range(23, 30):  # Monday to Sunday
        for hour in range(24):
            wanted = PEAK if hour in peak and day < 28 else LOW
            assert usd(book, "deepseek-v4-pro", f"2026-11-{day}T{hour:02}:00") == wanted, (day, hour)


def test_other_prices_by_the_hour_hold_every_day() -> None:
    """DeepSeek's older discount at night has no weekdays: 0.27 and 1.1 by day, 0.135 and 0.55 by night."""
    for moment, price in (("2025-06-07T12:00", "0.038"), ("2025-06-07T17:00", "0.019"), ("2025-06-06T12:00", "0.038")):
        assert usd(open_book(), "deepseek-chat", moment) == Decimal(price)


OWN = """
models:
  weekly:
    prices:
      - {input_mtok: 1, output_mtok: 1}
      - {days: [sat, sun], input_mtok: 0.5, output_mtok: 0.5}
  nightly:
    prices:
      - {input_mtok: 1, output_mtok: 1}
      - {start_time: 22:00, end_time: 06:00, days: mon-fri, start_date: 2026-11-01, input_mtok: 0.5, output_mtok: 0.5}
  holidays:
    prices:
      - {input_mtok: 0.5, output_mtok: 0.5}
      - {days: fri-mon, except: [2026-12-25, 2026-12-28..2026-12-31], input_mtok: 1, output_mtok: 1}
"""


@pytest.mark.parametrize(
    ("model", "moment", "price"),
    [
        ("weekly", "2026-11-28T00:00", "0.055"),
        ("weekly", "2026-11-29T23:59", "0.055"),
        ("weekly", "2026-11-30T00:00", "0.11"),
        ("nightly", "2026-11-27T23:00", "0.055"),  # the night from Friday
        ("nightly", "2026-11-28T05:00", "0.055"),  # to Saturday
        ("nightly", "2026-11-28T23:00", "0.11"),
        ("nightly", "2026-11-30T05:00", "0.11"),  # the night from Sunday to Monday
        ("nightly", "2026-10-27T23:00", "0.11"),  # before the first day
        ("holidays", "2026-12-18T12:00", "0.11"),
        ("holidays", "2026-12-25T12:00", "0.055"),
        ("holidays", "2026-12-28T12:00", "0.055"),
        ("holidays", "2027-01-01T12:00", "0.11"),
        ("holidays", "2026-12-22T12:00", "0.055"),  # Tuesday
    ],
)
def test_own_files_can_name_days(tmp_path: Path, model: str, moment: str, price: str) -> None:
    """Days alone, with hours (they are those on which the hours begin), with a first day and with exceptions."""
    file = tmp_path / "prices.yaml"
    file.write_text(OWN, encoding="utf-8")
    assert usd(open_book(file), model, moment, "nobody") == Decimal(price)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("days: weekend", "days is 'weekend', which names no days of the week (like mon-fri, or [sat, sun])"),
        ("days: []", "days is []"),
        ("days: [1]", "days is ['1']"),
        ("days: mon-", "days is 'mon-'"),
        ("except: christmas", "except is 'christmas', which is not a date like 2026-01-31"),
        ("except: 2026-12-31..2026-12-01", "except is '2026-12-31..2026-12-01', which is not a period of up to 366"),
        ("except: 0001-01-01..9999-12-31", "which is not a period of up to 366 days"),
    ],
)
def test_a_mistake_in_days_is_quoted(tmp_path: Path, written: str, said: str) -> None:
    """One sentence that quotes it, like every mistake in a price file."""
    file = tmp_path / "prices.yaml"
    file.write_text(f"models: {{m: {{prices: [{{input_mtok: 1}}, {{{written}, input_mtok: 2}}]}}}}", encoding="utf-8")
    (problem,) = open_book(file).problems
    assert said in str(problem)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-audio-preview", "0.0295"),  # 400 x 2.5 + 600 x 40 + 50 x 10 + 50 x 80
        ("gpt-4o-audio-preview-2024-12-17", "0.0295"),
        ("gpt-4o-mini-audio-preview", "0.00709"),  # 400 x 0.15 + 600 x 10 + 50 x 0.6 + 50 x 20
        ("gpt-audio", "0.0239"),  # 400 x 2.5 + 600 x 32 + 50 x 10 + 50 x 64: the data set has it
    ],
)
def test_audio_is_never_billed_as_text(model: str, price: str) -> None:
    """The data set has the text price of these models alone (BerriAI/litellm#19771, langwatch/langwatch#7036)."""
    heard = Usage(
        counts={"input_tokens": 400, "input_audio_tokens": 600, "output_tokens": 50, "output_audio_tokens": 50}
    )
    cost = open_book().price(heard, provider="openai", base_url=None, models=(model,), at=1_796_000_000)
    assert (cost.usd, cost.unpriced) == (Decimal(price), None)
