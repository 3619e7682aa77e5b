"""Forecasts from the spend of whole days: the month, and the day on which a budget runs out.

The mean of the past days is continued, for working days and weekends apart where there are enough of both. The range
holds the true sum about four times in five, if the days ahead vary like the days behind: for n days ahead and k days
behind with the standard deviation s, it is the mean sum +- t x s x sqrt(n + n x n / k), with Student's t of k - 1
degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from otel_agentcost.core import money

ENOUGH: Final = 5
"""Whole days that a forecast needs."""

BEHIND: Final = 28
"""Whole days that it looks at, at most."""

_DAY: Final = 86_400

_OF_EACH: Final = 4
"""Days of a kind (working days, weekends) that give the kind a mean of its own."""

_Z: Final = 1.2816
"""The 90 % quantile of the normal distribution: 80 % lie between it and its negative."""


class Forecast(NamedTuple):
    """The dollars of a month, in billionths."""

    month: str
    spent: int
    likely: int
    low: int
    high: int
    days: int
    """The whole days that it rests on."""


class Allowed(NamedTuple):
    """The dollars that are left of a budget."""

    budget: str
    whose: str
    left: int
    """Billionths of a dollar."""
    resets_at: datetime | None
    rolling: int | None = None
    """The seconds of a rolling window; None for others."""


class RunsOut(NamedTuple):
    """The day on which a budget runs out, if its spend goes on as before."""

    budget: str
    whose: str
    left: int
    day: date | None
    """None if it lasts: until it begins anew, or for a year."""
    earliest: date | None
    """The day if the spend is at the upper end of the range; None if it lasts even then."""
    resets_at: datetime | None


class _Rate(NamedTuple):
    """The mean spend of working days and of days at weekends, and the standard deviation around it."""

    means: tuple[float, float]
    deviation: float
    days: int

    def ahead(self, days: Sequence[date], part: float = 1.0) -> tuple[float, float]:
        """Return the mean of the sum over `days`, the first of them in part, and half the width of its range."""
        parts = [part, *[1.0] * (len(days) - 1)] if days else []
        mean = sum(share * self.means[_weekend(day)] for share, day in zip(parts, days, strict=True))
        number = sum(parts)
        spread = self.deviation * math.sqrt(number + number * number / self.days)
        return mean, _t(self.days - 1) * spread


def month(spent: Mapping[date, int], now: datetime, since: date) -> Forecast | None:
    """Return the forecast of the month of `now`.

    Args:
        spent: Billionths of a dollar by day; a day without calls may be missing.
        now: The present time, in the time zone of days.
        since: The first day with a whole record: days before it are no days without spend.

    Returns:
        None if there are too few whole days.
    """
    rate = _rate(spent, now.date(), since)
    if rate is None:
        return None
    today = now.date()
    so_far = sum(nusd for day, nusd in spent.items() if (day.year, day.month) == (today.year, today.month))
    ahead = [today + timedelta(days=number) for number in range(31)]
    mean, width = rate.ahead([day for day in ahead if day.month == today.month], _left_of(now))
    low, likely, high = (max(0, round(mean + side)) for side in (-width, 0.0, width))
    return Forecast(f"{today:%Y-%m}", so_far, so_far + likely, so_far + low, so_far + high, rate.days)


def runs_out(budget: Allowed, spent: Mapping[date, int], now: datetime, since: date) -> RunsOut | None:
    """Return the day on which a budget runs out. The arguments are those of `month`.

    Spend is freed as it leaves a rolling window.

    Returns:
        None if there are too few whole days, or if the window is a rolling one of less than a day.
    """
    rate = _rate(spent, now.date(), since)
    window = budget.rolling // _DAY if budget.rolling is not None else 366
    if rate is None or not window:
        return None
    left = budget.left
    ends = budget.resets_at.astimezone(now.tzinfo) if budget.resets_at is not None else None
    likely = earliest = None
    days: list[date] = []
    for number in range(366):
        day = now.date() + timedelta(days=number)
        if ends is not None and datetime.combine(day, datetime.min.time(), now.tzinfo) >= ends:
            break
        days.append(day)
        left += spent.get(day - timedelta(days=window), 0) if number < window < 366 else 0
        counted = days[-window:]
        mean, width = rate.ahead(counted, _left_of(now) if len(counted) == len(days) else 1.0)
        if earliest is None and mean + width >= left:
            earliest = day
        if mean >= left:
            likely = day
            break
    return RunsOut(budget.budget, budget.whose, budget.left, likely, earliest, budget.resets_at)


def nano(usd: Decimal | int) -> int:
    """Return an amount of a ledger in billionths of a dollar."""
    return money.to_nano(Decimal(usd))


def _rate(spent: Mapping[date, int], today: date, since: date) -> _Rate | None:
    days = [day for number in range(1, BEHIND + 1) if (day := today - timedelta(days=number)) >= since]
    if len(days) < ENOUGH:
        return None
    kinds: tuple[list[int], list[int]] = ([], [])
    for day in days:
        kinds[_weekend(day)].append(spent.get(day, 0))
    whole = sum(map(sum, kinds)) / len(days)
    apart = all(len(kind) >= _OF_EACH for kind in kinds)
    means = (sum(kinds[0]) / len(kinds[0]), sum(kinds[1]) / len(kinds[1])) if apart else (whole, whole)
    squares = sum((nusd - means[at]) ** 2 for at in (0, 1) for nusd in kinds[at])
    return _Rate(means, math.sqrt(squares / (len(days) - 1 - apart)), len(days))


def _weekend(day: date) -> int:
    return int(day.weekday() >= 5)


def _left_of(now: datetime) -> float:
    """Return the part of today that is still ahead."""
    return 1 - (now.hour * 3600 + now.minute * 60 + now.second) / 86_400


def _t(freedom: int) -> float:
    """Return the 90 % quantile of Student's distribution, by the expansion of Cornish and Fisher."""
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
