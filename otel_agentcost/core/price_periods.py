"""The times at which a price list is valid: from a day on, at some hours, on some days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DAY = 86_400.0
_FIRST_WEEKDAY = 3
"""1970-01-01, the first day of the epoch, was a Thursday; 0 is Monday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The validity of a price list: from a day on, at some hours, on some days. All are UTC, and all must hold."""

    start: float | None = None
    """The first second of the epoch."""
    daily: tuple[float, float] | None = None
    """Two seconds of the day. If the second one is lower, the hours extend over midnight."""
    weekdays: frozenset[int] | None = None
    """The days on which the hours begin; 0 is Monday."""
    holidays: frozenset[int] = frozenset()
    """Days of the epoch on which the hours do not begin."""

    def active(self, at: float) -> bool:
        """Return whether it includes the time `at` (seconds of the epoch)."""
        if self.start is not None and at < self.start:
            return False
        if not self.recurs:
            return True
        day, time = divmod(at, DAY)
        begin, end = self.hours
        if end < begin and time < end:
            day -= 1  # the hours began on the day before
        elif time < begin or (begin <= end and time >= end):
            return False
        return (self.weekdays is None or (day + _FIRST_WEEKDAY) % 7 in self.weekdays) and day not in self.holidays

    @property
    def recurs(self) -> bool:
        """True if it holds at some hours or on some days only."""
        return self.daily is not None or self.weekdays is not None or bool(self.holidays)

    @property
    def hours(self) -> tuple[float, float]:
        """The two seconds of the day between which it holds; for whole days from 0 to 86,400."""
        return self.daily or (0.0, DAY)

    def turns(self, at: float) -> Iterator[float]:
        """Yield the times around `at` at which it can begin or end."""
        if self.start is not None:
            yield self.start
        if self.recurs:
            begin, end = self.hours
            midnight = at - at % DAY
            for day in (midnight - DAY, midnight, midnight + DAY):
                yield day + begin
                yield day + end


ALWAYS = Period()
