"""Write price lists, their validity and uplifts as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timezone
from decimal import Decimal

from otel_agentcost.core.price_periods import DAY, Period
from otel_agentcost.core.prices import PRICE_KEY_OF, Price, PriceList
from otel_agentcost.pricebook.uplifts import Uplift

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH = date(1970, 1, 1).toordinal()


def short(entry: PriceList) -> str:
    """Return the prices of a list in one line."""
    prices = (f"{PRICE_KEY_OF[kind]} {price_text(price)}" for kind, price in entry.prices.items())
    return ", ".join(prices) or ("as standard" if entry.terms else "free")


def price_text(price: Price) -> str:
    """Return a price in dollars, with its tiers."""
    if isinstance(price, Decimal):
        return f"${price}"
    return f"${price.base}" + "".join(f" (${tier} above {start:,} input tokens)" for start, tier in price.tiers)


def uplift_text(uplift: Uplift) -> str:
    """Return what an uplift does to the prices."""
    if uplift.problem is not None:
        return f"calls are unpriced: {uplift.problem}"
    if uplift.factor is None:
        return "another price, which is not known: calls are unpriced"
    return f"all tokens at {uplift.factor} times these prices"


def validity(period: Period) -> str:
    """Return the time for which a list is valid."""
    parts: list[str] = []
    if period.start is not None:
        parts.append(f"from {datetime.fromtimestamp(period.start, timezone.utc):%Y-%m-%d}")
    if period.recurs:
        days = "every day" if period.weekdays is None else _weekdays(period.weekdays)
        begin, end = (datetime.fromtimestamp(time % DAY, timezone.utc) for time in period.hours)
        hours = f" {begin:%H:%M} to {end:%H:%M} UTC" if period.daily is not None else " (UTC)"
        parts.append(days + hours)
    if period.holidays:
        parts.append(f"not on {', '.join(_spans(period.holidays, _date))}")
    return ", ".join(parts) or "always"


def _weekdays(days: Iterable[int]) -> str:
    return ", ".join(_spans(days, _WEEKDAYS.__getitem__))


def _date(day: int) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()


def _spans(days: Iterable[int], name: Callable[[int], str]) -> Iterator[str]:
    """Yield the names of days; of successive ones the first and the last."""
    ordered = sorted(days)
    starts = [day for day in ordered if day - 1 not in ordered]
    ends = [day for day in ordered if day + 1 not in ordered]
    for first, last in zip(starts, ends, strict=True):
        yield name(first) if first == last else f"{name(first)} to {name(last)}"
