"""The windows of budgets: those of the calendar, and rolling ones such as `24h` and `7d`. No clock here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from otel_agentcost.core import hints

Window = str
"""A window of the calendar (`WINDOWS`), or a rolling one as `24h` and `7d` are (`rolling_seconds`)."""
WINDOWS: tuple[Window, ...] = ("hour", "day", "week", "month")
"""The windows of the calendar."""
LONGEST_ROLLING = 31
"""Days of the longest rolling window. The shortest is an hour."""


class Period(NamedTuple):
    """One calendar hour, day, week or month: a half-open interval. Or a rolling window, which has no bounds."""

    label: str
    starts: float
    """Seconds of the epoch, as for `ends`."""
    ends: float | None
    """None: it does not end."""
    rolling: int | None = None
    """The seconds of a rolling window; None for others."""

    def key(self, scope: str, value: str) -> str:
        """Return the ledger key for the spending of `value` of `scope` in this window."""
        return f"{scope}/{self.label or 'all'}/{value}"


FOREVER = Period("", float("-inf"), None)

_FORMATS: Mapping[Window, str] = {"hour": "%Y-%m-%dT%H%z", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
"""An hour that occurs twice when clocks are set back counts as two hours: the offset from UTC distinguishes them."""


def period(window: Window | None, now: float, zone: tzinfo = timezone.utc) -> Period:
    """Return the window that includes `now`.

    Days follow the local clock: a day on which the clocks change has 23 or 25 hours. Weeks are those of ISO 8601, which
    begin on Monday.

    Args:
        window: The kind of window; None for one without end.
        now: Seconds of the epoch.
        zone: The time zone of the calendar.
    """
    if window is None:
        return FOREVER
    if (seconds := rolling_seconds(window)) is not None:
        return Period(window, float("-inf"), None, seconds)
    at = datetime.fromtimestamp(now, zone)
    label = at.strftime(_FORMATS[window])
    if window == "hour":
        start = at.timestamp() - at.minute * 60 - at.second - at.microsecond / 1e6
        same = datetime.fromtimestamp(start, zone).strftime(_FORMATS[window]) == label
        return Period(label, start if same else now, start + 3600)  # where clocks shift by half an hour, it is shorter
    first = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "month":
        first = first.replace(day=1)
        following = (first + timedelta(days=32)).replace(day=1)
    elif window == "week":
        first -= timedelta(days=first.weekday())
        following = first + timedelta(days=7)
    else:
        following = first + timedelta(days=1)
    return Period(label, first.timestamp(), following.timestamp())


def rolling_seconds(window: Window | None) -> int | None:
    """Return the length of a rolling window in seconds; None for other windows."""
    if window is None or window in _FORMATS or (found := _ROLLING.fullmatch(window)) is None:
        return None
    return int(found[1]) * _HOURS[found[2]] * 3600


def overlapping(window: Window, now: float) -> tuple[Period, Period]:
    """Return two fixed windows of twice the length of a rolling one, for a ledger that knows no rolling windows.

    Each begins in the middle of the one before. If spend counts in both, the first one holds all spend of the last
    `window`, and for up to as long again.

    Args:
        window: The rolling window.
        now: Seconds of the epoch.

    Returns:
        The window in whose second half `now` is, which the limit is for; and the one in whose first half it is.
    """
    seconds = rolling_seconds(window) or 1
    number = int(now // seconds)
    first, second = (
        Period(f"{window}@{at}", float((at - 1) * seconds), float((at + 1) * seconds)) for at in (number, number + 1)
    )
    return first, second


def to_window(written: str) -> Window | None:
    """Return the window that is written so, in its canonical form; None if there is none."""
    if written in WINDOWS:
        return written
    found = _ROLLING.fullmatch(written)
    return _rolling(int(found[1]) * _HOURS[found[2]]) if found is not None else None


def _rolling(hours: int) -> Window | None:
    """Return the rolling window of so many hours: in days from two whole days on, so that each length has one name."""
    if not 1 <= hours <= 24 * LONGEST_ROLLING:
        return None
    return f"{hours // 24}d" if hours % 24 == 0 and hours > 24 else f"{hours}h"


_HOURS: Mapping[str, int] = {"h": 1, "d": 24, "w": 168}
_ROLLING = re.compile(r"([1-9]\d{0,3})([hd])")
_NUMBERED = re.compile(r"(\d+)[\s_-]*(h|d|w)(?:(?:ou)?rs?|ays?|eeks?)?")
_IN_WORDS = re.compile(
    r"(?:(?P<rolling>last|past|previous|rolling|sliding|trailing|any|every|in|per)[\s_-]+)*(?P<length>.+)"
)
ANY_WINDOW = f"write one of {', '.join(WINDOWS)}, or a rolling one from 1h to {LONGEST_ROLLING}d such as 24h or 7d"


def meant_window(written: str) -> Window | None:
    """Return the window that was meant by `weekly`, `per week`, `last 24 hours`; None if that is not clear."""
    text = written.strip().lower()
    if (known := to_window(text) or _known_window(text)) is not None or (found := _IN_WORDS.fullmatch(text)) is None:
        return known
    length, rolls = found["length"], found["rolling"] not in (None, "per", "in", "every")
    if (number := _NUMBERED.fullmatch(length)) is not None:
        return _rolling(int(number[1]) * _HOURS[number[2]])
    if rolls and length in _LENGTHS:
        return _LENGTHS[length]
    return _known_window(length)


def _known_window(word: str) -> Window | None:
    meant = hints.MEANT.get(word, word)
    return meant if meant in WINDOWS else None


_LENGTHS: Mapping[str, Window] = {"hour": "1h", "day": "24h", "week": "7d", "month": "30d"}
"""The rolling windows of words: the `last week` is no week of the calendar."""


def window_hint(written: str) -> str:
    meant = meant_window(written)
    return f"; did you mean {meant}?" if meant is not None else hints.near(written, WINDOWS)


_PERIODS = frozenset({"year", "yearly", "minute", "quarter", "annually", "fortnight"})
"""Windows that there are not."""


def like_window(text: str) -> bool:
    """Return True for a word that was meant as a window. In a name it would make a budget for no call."""
    word = text.strip().lower()
    return word in _PERIODS or (
        len(word) > 1 and (meant_window(word) is not None or _NUMBERED.fullmatch(word) is not None)
    )
