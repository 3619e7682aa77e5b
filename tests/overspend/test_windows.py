"""Windows on the guard: their edges, clocks that go back, and days on which the clocks are changed.

A clock is given with every call. The guard must decide as a model does that knows windows only by what a calendar
on the wall says, and remembers everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost.core import budgets, money
from otel_agentcost.core.budgets import Window
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.guard import Guard, Policy, Ticket
from otel_agentcost.guard.ledger import GRACE, Ledger, open_ledger
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.guard.guards import facts

WINDOWS: tuple[Window, ...] = ("hour", "day", "month", "week")
LIMITS: dict[Window, int] = {"hour": 300_000_000, "day": 700_000_000, "month": 2_000_000_000, "week": 1_200_000_000}
RULES = "user/hour:usd=0.3;team/day:usd=0.7;total/month:usd=2;agent/week:usd=1.2"
LONG = 10 * 365 * 86_400.0

BEGINNINGS = {
    "UTC": "2096-02-28T23:50:00",  # a leap day comes
    "Europe/Berlin": "2026-10-25T02:40:00",  # an hour comes twice
    "America/New_York": "2026-03-08T01:40:00",  # an hour is skipped
    "America/Havana": "2026-11-01T00:40:00",  # midnight comes twice
    "America/Sao_Paulo": "2018-11-03T23:40:00",  # midnight is skipped
    "Australia/Lord_Howe": "2026-04-05T01:40:00",  # half an hour comes twice
    "Pacific/Apia": "2011-12-29T23:40:00",  # a day is skipped
    "Asia/Kathmandu": "2026-12-31T23:40:00",  # a quarter of an hour beside everybody else's hours
}
"""Time zones, and a local time some minutes before something odd happens."""


Key = tuple[Window, tuple[object, ...]]


def window_of(window: Window, now: float, zone: ZoneInfo) -> tuple[object, ...]:
    """What a calendar on the wall, and a clock beside it, say: the same words are the same window."""
    at = datetime.fromtimestamp(now, zone)
    return {
        "hour": (at.date(), at.hour, at.utcoffset()),
        "day": (at.date(),),
        "month": (at.year, at.month),
        "week": tuple(at.isocalendar())[:2],
    }[window]


def price(usage: Usage, _model: str | None) -> Cost:
    """A tenth of a cent for each token of output: what is held is then known without looking at the input."""
    return Cost(usd=Decimal("0.001") * usage.output_tokens)


class Wall:
    """A guard, and a model of it that says of each call whether it fits."""

    def __init__(self, zone: str, ledger: Ledger | None = None, *, brisk: bool = False) -> None:
        """`brisk`: each call ends at once, and no lease keeps a ledger from forgetting a window that is over."""
        self.zone = ZoneInfo(zone)
        self.brisk = brisk
        policy = replace(Policy(), wait_seconds=0.0, time_zone=self.zone, lease=0.5 if brisk else LONG)
        self.guard = Guard(budgets.parse(RULES), ledger or MemoryLedger(), policy)
        self.now = datetime.fromisoformat(BEGINNINGS[zone]).replace(tzinfo=self.zone).timestamp()
        self.latest = self.now
        self.spent: Counter[Key] = Counter()
        self.held: Counter[Key] = Counter()
        self.open: list[tuple[Ticket, list[Key]]] = []
        self._ids = count()

    def go(self, seconds: float) -> None:
        """The clock goes on, or back: never further below its highest than ledgers remember a window that is over."""
        self.now = max(self.now + seconds, self.latest - GRACE + 1)
        self.latest = max(self.latest, self.now)

    def go_to_edge(self, window: Window, offset: float) -> None:
        """The clock goes to the end of a window, or a little before or after it."""
        ends = budgets.period(window, self.now, self.zone).ends
        assert ends is not None
        self.go(ends + offset - self.now)

    def admit(self, output: int) -> None:
        """A call, which the guard must admit if and only if the model has room for it in all windows."""
        asked = replace(facts(output, now=self.now, team="red", agent="a"), price=price)
        windows: list[Key] = [(window, window_of(window, self.now, self.zone)) for window in WINDOWS]
        answer = self.guard.admit(replace(asked, call_id=f"call-{next(self._ids)}"))
        fits = all(self.spent[key] + self.held[key] + output * 1_000_000 <= LIMITS[key[0]] for key in windows)
        assert isinstance(answer, Ticket) == fits
        if isinstance(answer, Ticket):
            self.open.append((answer, windows))
            self.held.update(dict.fromkeys(windows, answer.reserved["nano_usd"]))
            if self.brisk:
                self.settle(0, 1.0)

    def settle(self, which: int, share: float) -> None:
        """A call ends, now: what it took belongs to the windows in which it began."""
        if not self.open:
            return
        ticket, windows = self.open.pop(which % len(self.open))
        nano = int(ticket.reserved["nano_usd"] * share)
        self.guard.settle(ticket, money.from_nano(nano), 1, self.now)
        self.held.subtract(dict.fromkeys(windows, ticket.reserved["nano_usd"]))
        self.spent.update(dict.fromkeys(windows, nano))
        for each in ticket.counted:
            standing = self.guard.ledger.wrapped.standing(each.claim.key, now=self.now)
            assert standing.spent["nano_usd"] + standing.held["nano_usd"] <= each.claim.limits["nano_usd"]


SMALL = st.floats(0, 600).map(lambda seconds: round(seconds, 3))
LARGE = st.floats(0, 50 * 86_400).map(lambda seconds: round(seconds, 3))
BACK = st.floats(-GRACE, 0).map(lambda seconds: round(seconds, 3))
OFFSETS = st.sampled_from((-GRACE / 2, -1.0, -0.001, 0.0, 0.001, 1.0, GRACE / 2))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(1, 299)),
        st.tuples(st.just("admit"), st.sampled_from((150, 250, 299))),
        st.tuples(st.just("settle"), st.integers(0, 9), st.sampled_from((0.0, 0.5, 1.0))),
        st.tuples(st.just("go"), SMALL | BACK),
        st.tuples(st.just("go"), LARGE),
        st.tuples(st.just("go_to_edge"), st.sampled_from(WINDOWS), OFFSETS),
        st.tuples(st.just("go_to_edge"), st.just("hour"), OFFSETS),
    ),
    max_size=40,
)


@pytest.mark.parametrize("zone", BEGINNINGS)
@settings(max_examples=150, deadline=None)
@given(steps=STEPS, brisk=st.booleans())
def test_the_guard_decides_as_a_calendar_on_the_wall(zone: str, steps: list[tuple[str, ...]], brisk: bool) -> None:
    """At every edge, in every zone, with a clock that goes back by up to a minute, and calls that end windows later."""
    wall = Wall(zone, brisk=brisk)
    for verb, *words in steps:
        step: Callable[..., None] = getattr(wall, verb)
        step(*words)


@settings(max_examples=100, deadline=None)
@given(jumps=st.lists(st.tuples(st.floats(-90 * 86_400, 90 * 86_400), st.integers(1, 299)), max_size=30))
def test_a_clock_gone_mad_passes_no_limit(jumps: list[tuple[float, int]]) -> None:
    """However far it jumps, and back again: at no moment is more spent and held of a window than its limit."""
    wall = Wall("Europe/Berlin")
    ledger, start = wall.guard.ledger.wrapped, wall.now
    for jump, output in jumps:
        now = start + jump
        answer = wall.guard.admit(replace(facts(output, now=now, team="red"), call_id=f"call-{jump}-{output}"))
        if not isinstance(answer, Ticket):
            continue
        for each in answer.counted:
            standing = ledger.standing(each.claim.key, now=now)
            assert standing.spent["nano_usd"] + standing.held["nano_usd"] <= each.claim.limits["nano_usd"]
        wall.guard.settle(answer, money.from_nano(answer.reserved["nano_usd"]), 1, now + 1)


@pytest.mark.parametrize("zone", BEGINNINGS)
def test_every_ledger_knows_the_edges(url: str, zone: str) -> None:
    """One way through an odd night, the same on each kind of ledger: a full hour stays full, also for a clock that
    comes back to it.
    """
    wall = Wall(zone, open_ledger(url, timeout=5), brisk=True)
    for edge in (-0.001, 0.0, 1.0, GRACE / 2):
        for output in (200, 101, 90):  # the second does not fit
            wall.admit(output)
        wall.go_to_edge("hour", edge)
        for _ in range(15):  # ledgers clean up after some dozens of verbs
            wall.admit(1)
        wall.go(-GRACE / 2 - edge)
        wall.admit(50)
        wall.go(GRACE + edge)
    wall.guard.ledger.wrapped.close()


def test_a_call_that_ends_in_the_next_window_is_charged_to_its_own(url: str, tmp_path: Path) -> None:
    """Yesterday's call takes nothing from today, also when it ends hours after yesterday was forgotten otherwise."""
    wall = Wall("UTC", open_ledger(url, timeout=5))
    wall.admit(290)
    (ticket, _), *_ = wall.open
    wall.go_to_edge("day", 7200.0)
    wall.settle(0, 1.0)
    keys = [each.claim.key for each in ticket.counted]
    assert [key.split("/")[1][:10] for key in keys] == ["2096-02-28", "2096-02-28", "2096-02", "2096-W09"]
    spent = [wall.guard.ledger.wrapped.standing(key, now=wall.now).spent["nano_usd"] for key in keys]
    assert spent == [290_000_000] * 4
    wall.admit(299)
    wall.guard.ledger.wrapped.close()
