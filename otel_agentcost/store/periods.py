"""Periods of time as people write them: `yesterday`, `7d`, `2026-11-01`, `2026-11-01T09:00`."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from otel_agentcost.errors import AgentCostError

ALLOWED: Final = (
    "write today, yesterday, month, all, a number of hours, days or weeks such as 24h, 7d or 4w, a day such as "
    "2026-11-01, or a time such as 2026-11-01T09:00"
)

_AGO: Final = re.compile(r"(\d{1,5})\s*([hdw])", re.IGNORECASE)
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


class UnclearPeriod(AgentCostError):
    """A period cannot be understood, or there is no time in it. The text is one sentence that says what is allowed."""


def start_of(written: str | date, now: float, zone: tzinfo) -> float | None:
    """Return the beginning of a period in seconds since the epoch; None for `all`.

    Args:
        written: As people write it, or a `date` or `datetime` of code. A time without a zone is one of `zone`.
        now: The present time, in seconds since the epoch.
        zone: The time zone of days.

    Raises:
        UnclearPeriod: It cannot be understood.
    """
    if isinstance(written, date):
        return _of_date(written, zone)
    text = written.strip().lower()
    today = datetime.fromtimestamp(now, zone).date()
    named = {"today": today, "yesterday": today - timedelta(days=1), "month": today.replace(day=1)}
    if text == "all":
        return None
    if text in named:
        return _of_date(named[text], zone)
    if ago := _AGO.fullmatch(text):
        since = now - int(ago[1]) * _HOURS[ago[2]] * 3600
        return max(0.0, since - since % 3600)  # whole hours, which are kept for good
    try:
        return _of_date(datetime.fromisoformat(_with_offset(written.strip())), zone)
    except (ValueError, OverflowError) as error:
        raise UnclearPeriod(f"{written!r:.80} is no time: {ALLOWED}.") from error


def end_of(written: str | date | None, now: float, zone: tzinfo) -> float | None:
    """Return the end of a period in seconds since the epoch; None if it has none.

    A day is included as a whole; a time ends the period. The arguments are those of `start_of`.

    Raises:
        UnclearPeriod: It cannot be understood.
    """
    if written is None:
        return None
    starts = start_of(written, now, zone)
    if starts is None:
        return None
    day = written.strip().lower() if isinstance(written, str) else written
    whole = day in ("today", "yesterday") or (isinstance(day, date) and not isinstance(day, datetime))
    if whole or (isinstance(day, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", day)):
        try:
            return _of_date(datetime.fromtimestamp(starts, zone).date() + timedelta(days=1), zone)
        except (ValueError, OverflowError) as error:
            raise UnclearPeriod(f"{written!r:.80} is no time: {ALLOWED}.") from error
    return starts


def period(since: str | date, until: str | date | None, now: float, zone: tzinfo) -> tuple[float | None, float | None]:
    """Return the beginning and the end of a period.

    Raises:
        UnclearPeriod: One of them cannot be understood, or the end is not after the beginning.
    """
    begins, ends = start_of(since, now, zone), end_of(until, now, zone)
    if begins is not None and ends is not None and ends <= begins:
        raise UnclearPeriod(f"There is no time between since {since} and until {until}: name a later end.")
    if begins is not None and begins > now:
        raise UnclearPeriod(f"{str(since)!r:.80} is in the future: {ALLOWED}.")
    return begins, ends


@lru_cache(maxsize=20_000)
def label(name: str, zone: tzinfo, at: float) -> str:
    """Return the hour, day, week or month that a time, in seconds since the epoch, is in: sortable as text."""
    when = datetime.fromtimestamp(at, zone)
    if name == "hour":
        return when.strftime("%Y-%m-%dT%H:00%z")
    if name == "week":
        return when.strftime("%G-W%V")
    return when.strftime("%Y-%m-%d" if name == "day" else "%Y-%m")


def _of_date(written: date, zone: tzinfo) -> float:
    if not isinstance(written, datetime):
        written = datetime.combine(written, time())
    return (written if written.tzinfo is not None else written.replace(tzinfo=zone)).timestamp()


def _with_offset(text: str) -> str:
    return f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text  # Python 3.10 reads no Z
