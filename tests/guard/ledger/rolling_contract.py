"""What every ledger does for rolling windows. Derive together with `LedgerContract`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agentcost.core.batch import batch_verbs
from otel_agentcost.guard.ledger import GRACE, Claim, Ledger, slice_end, slice_seconds
from tests.guard.ledger.calls import NOW, admitted, amounts, stands
from tests.guard.ledger.shared_contract import worker
from tests.guard.ledger.worker import ROLLING, SPEED

WINDOW = 2400
WIDTH = 100
"""Seconds of its slices."""
START = NOW - NOW % WIDTH
"""The beginning of a slice."""


def rolling(key: str = "user/40m/u1", until: float = START + WINDOW + WIDTH, **limits: int) -> Claim:
    return Claim(key=key, limits={"nano_usd": limits.get("nano_usd", 100)}, until=until, rolling=WINDOW)


def spend(ledger: Ledger, call_id: str, nano_usd: int, at: float, *more: Claim) -> int:
    """Settles without a hold, and returns what is spent then."""
    return ledger.settle(call_id, [rolling(), *more], amounts(nano_usd), now=START + at)[0][1].spent["nano_usd"]


def spent(ledger: Ledger, at: float) -> int:
    return ledger.standing(rolling().key, now=START + at).spent["nano_usd"]


class RollingContract:
    """The tests of one kind of ledger."""

    def test_its_slices_are_a_24th_of_it(self) -> None:
        """Of a day an hour."""
        assert (slice_seconds(WINDOW), slice_seconds(86_400), slice_seconds(5)) == (WIDTH, 3600, 1)
        assert (slice_end(WINDOW, START), slice_end(WINDOW, START + 99.9)) == (START + WIDTH, START + WIDTH)

    def test_spend_counts_until_its_slice_is_as_old_as_the_window(self, ledger: Ledger) -> None:
        """Never less than the window, and at most a slice longer; for looks at it, reservations and settlements."""
        assert ledger.rolling
        assert spend(ledger, "a", 60, 5) == 60
        assert spend(ledger, "b", 30, 250) == 90
        assert [spent(ledger, at) for at in (2499.9, 2500, 2699.9, 2700)] == [90, 30, 30, 0]
        assert spend(ledger, "c", 80, 3000) == 80
        assert not admitted(ledger, "d", [rolling()], 21, now=START + 3000 + WINDOW)
        assert admitted(ledger, "d", [rolling()], 100, now=START + 3000 + WINDOW + WIDTH)

    def test_a_refusal_says_when_enough_is_free_again(self, ledger: Ledger) -> None:
        """The end of the last slice that must go; nothing for a call that does not fit even then."""
        for call_id, nano, at in (("a", 40, 5), ("b", 20, 150), ("c", 30, 250)):
            spend(ledger, call_id, nano, at)
        for nano, free in ((11, 2500), (50, 2500), (51, 2600), (70, 2600), (71, 2700), (100, 2700), (101, None)):
            refused = ledger.reserve("d", [rolling()], amounts(nano), now=START + 300, lease=60)
            assert refused is not None
            assert refused.free_at == (START + free if free else None), nano
        assert admitted(ledger, "held", [rolling()], 10, now=START + 300)
        refused = ledger.reserve("d", [rolling()], amounts(95), now=START + 300, lease=60)
        assert refused is not None
        assert (refused.held, refused.free_at) == (10, None)

    def test_a_refusal_long_after_the_last_call_knows_no_time(self, ledger: Ledger) -> None:
        """Nothing is left of what was spent: a call that is too large never fits, and no time has passed already."""
        spend(ledger, "a", 60, 5)
        for at in (WINDOW + WIDTH, WINDOW + WIDTH + GRACE - 1, WINDOW + WIDTH + GRACE, 10 * WINDOW):
            refused = ledger.reserve("b", [rolling()], amounts(101), now=START + at, lease=60)
            assert refused is not None
            assert (refused.spent, refused.free_at) == (0, None), at

    def test_figures_beyond_what_a_double_holds(self, ledger: Ledger) -> None:
        """Half a billion dollars and one nano-dollar, in a slice, in a refusal, in a refund and when they get old."""
        half = 5 * 10**17
        budget = rolling(nano_usd=half + 1)
        ledger.settle("a", [budget], amounts(half - 8), now=START)
        ledger.settle("b", [budget], amounts(3), now=START + 150)
        refused = ledger.reserve("c", [budget], amounts(7), now=START + 200, lease=60)
        assert refused is not None
        assert refused.free_at == START + WINDOW + WIDTH
        assert admitted(ledger, "c", [budget], 6, now=START + 200)
        ledger.release("c", now=START + 200)
        ledger.settle("refund", [budget], amounts(10 - half), now=START + 200)
        assert ledger.standing(budget.key, now=START + 200) == stands(spent=amounts(5))
        assert ledger.standing(budget.key, now=START + WINDOW + WIDTH) == stands(spent=amounts(3))
        assert ledger.standing(budget.key, now=START + WINDOW + 2 * WIDTH) == stands()

    def test_each_unit_gets_old(self, ledger: Ledger) -> None:
        """Money, tokens, calls and tool calls."""
        ledger.settle("a", [rolling()], amounts(1, 20, 3, 4), now=START)
        ledger.settle("b", [rolling()], amounts(0, 7, 0, 1), now=START + 300)
        at = START + WINDOW + WIDTH
        assert ledger.standing(rolling().key, now=at - 1) == stands(spent=amounts(1, 27, 3, 5))
        assert ledger.standing(rolling().key, now=at) == stands(spent=amounts(0, 7, 0, 1))

    def test_a_hold_counts_until_it_ends_and_its_cost_from_then_on(self, ledger: Ledger) -> None:
        """A call that takes longer than the window is spent when it settles, for a whole window."""
        assert ledger.reserve("long", [rolling()], amounts(90), now=START, lease=10 * WINDOW) is None
        at = 5 * WINDOW
        assert not admitted(ledger, "next", [rolling()], 11, now=START + at)
        assert ledger.settle("long", [rolling()], amounts(70), now=START + at)[0][1] == stands(spent=amounts(70))
        assert [spent(ledger, at + WINDOW), spent(ledger, at + WINDOW + WIDTH)] == [70, 0]

    def test_its_account_is_kept_as_long_as_its_spend(self, ledger: Ledger) -> None:
        """Each settlement extends it, also one whose claim was made long ago."""
        claim = rolling(until=START + 1)
        for number in range(6):
            ledger.settle(str(number), [claim], amounts(10), now=START + 1000 * number)
        assert spent(ledger, 5000) == 30
        assert spent(ledger, 5000 + WINDOW + GRACE - 1) == 10
        assert spent(ledger, 5000 + WINDOW + WIDTH + GRACE) == 0

    def test_a_settlement_counts_once(self, ledger: Ledger) -> None:
        """In the slice of the first one."""
        for at in (10, 900, 2300):
            assert spend(ledger, "a", 60, at) == 60
        assert spent(ledger, WINDOW + WIDTH) == 0
        assert spend(ledger, "a", 60, WINDOW + WIDTH) == 0

    def test_a_refund_takes_from_the_oldest(self, ledger: Ledger) -> None:
        """So that what is left counts the longest; once, and no sum falls below 0."""
        spend(ledger, "a", 40, 10)
        spend(ledger, "b", 50, 1000)
        for _ in range(2):
            assert spend(ledger, "refund", -30, 1100) == 60
        assert [spent(ledger, at) for at in (2500, 3499, 3500)] == [50, 50, 0]
        spend(ledger, "c", 10, 3600)
        assert spend(ledger, "more", -(10**18), 3700) == 0
        assert spend(ledger, "d", 20, 3800) == 20
        assert [spent(ledger, at) for at in (3600 + WINDOW + WIDTH, 3900 + WINDOW)] == [20, 0]

    def test_a_clock_that_goes_back_opens_no_door(self, ledger: Ledger) -> None:
        """What is spent by a clock that is behind counts as long as the latest spend, and nothing is lost."""
        spend(ledger, "a", 50, 10_000)
        assert spent(ledger, 0) == 50
        assert not admitted(ledger, "b", [rolling()], 51, now=START)
        assert spend(ledger, "c", 40, -10_000) == 90
        assert [spent(ledger, at) for at in (-20_000, 10_000, 10_000 + WINDOW)] == [90, 90, 90]
        assert spent(ledger, 10_000 + WINDOW + WIDTH) == 0

    def test_other_budgets_of_the_same_call(self, ledger: Ledger) -> None:
        """A call counts in budgets of all kinds; those without a rolling window do not get old."""
        day = Claim(key="user/day/u1", limits={"nano_usd": 100}, until=START + 10**6)
        twice = [rolling(), day, rolling(nano_usd=80)]
        assert ledger.reserve("a", twice, amounts(81), now=START, lease=60) is not None
        assert ledger.reserve("a", twice, amounts(80), now=START, lease=60) is None
        standings = ledger.settle("a", twice, amounts(50), now=START)
        assert [standing for _, standing in standings] == [stands(spent=amounts(50))] * 3
        later = START + WINDOW + WIDTH
        assert spent(ledger, WINDOW + WIDTH) == 0
        assert ledger.standing(day.key, now=later) == stands(spent=amounts(50))
        refused = ledger.reserve("b", twice, amounts(51), now=later, lease=60)
        assert refused is not None
        assert (refused.key, refused.free_at) == (day.key, None)

    def test_lines_of_a_batch_get_old(self, ledger: Ledger) -> None:
        """They count in the slice in which they are read."""
        batches, day = batch_verbs(ledger), Claim(key="user/day/u1", limits={}, until=START + 10**6)
        assert batches.keep_batch("openai b1", "{}", now=START, until=START + 10**6)
        for name, at in (("first", 5), ("second", 250)):
            lines = {f"{name} {number}": amounts(10, 1) for number in range(3)}
            batches.count_lines("openai b1", [day, rolling(until=START)], lines, now=START + at)
        assert [spent(ledger, at) for at in (300, 2500, 2700)] == [60, 30, 0]
        assert ledger.standing(day.key, now=START + 2700) == stands(spent=amounts(60, 6))

    def test_no_window_ever_has_more_than_the_limit(self, ledger: Ledger) -> None:
        """Random calls at random times: no true window has more, and all room is back a slice after the window."""
        check_against_times(ledger)

    def test_any_sequence_is_that_of_a_model(self, ledger: Ledger) -> None:
        """With reservations, refunds and clocks that go back, the sum is that of plain slices, step by step."""
        check_against_slices(ledger)


STEPS = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 70), st.integers(0, 100), st.integers(0, 300)), max_size=30
)
"""Of each call: the time before it, its worst case, the share of it that it costs, and how long it takes."""


def check_against_times(ledger: Ledger) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def check(steps: Sequence[tuple[int, int, int, int]]) -> None:
        claim, now, times = rolling(uuid.uuid4().hex), START, list[tuple[float, int]]()
        for number, (before, worst, share, takes) in enumerate(steps):
            now += before
            call_id = f"{claim.key} {number}"
            counted = ledger.standing(claim.key, now=now).spent["nano_usd"]
            assert within(times, now, WINDOW) <= counted <= within(times, now, WINDOW + WIDTH)
            fits = ledger.reserve(call_id, [claim], amounts(worst), now=now, lease=1000) is None
            assert fits == (counted + worst <= 100)
            now += takes
            if fits:
                ledger.settle(call_id, [claim], amounts(worst * share // 100), now=now)
                times.append((now, worst * share // 100))
        assert all(within(times, at, WINDOW) <= 100 for at, _ in times)
        now += WINDOW + WIDTH
        assert ledger.standing(claim.key, now=now) == stands()
        assert ledger.reserve(f"{claim.key} last", [claim], amounts(100), now=now, lease=1) is None

    check()


def within(times: Sequence[tuple[float, int]], now: float, seconds: float) -> int:
    """What was spent in the last seconds."""
    return sum(cost for at, cost in times if now - seconds < at <= now)


@dataclass
class Slices:
    """What the slices of a ledger are to be."""

    slices: dict[int, int] = field(default_factory=dict[int, int])

    def age(self, now: float) -> int:
        self.slices = {end: cost for end, cost in self.slices.items() if end + WINDOW > now}
        return sum(self.slices.values())

    def spend(self, cost: int, now: float) -> int:
        self.age(now)
        end = max([slice_end(WINDOW, now), *self.slices])
        self.slices[end] = self.slices.get(end, 0) + max(0, cost)
        for each in sorted(self.slices):
            taken = min(self.slices[each], max(0, -cost))
            self.slices[each] -= taken
            cost += taken
        return self.age(now)


def check_against_slices(ledger: Ledger) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.integers(-700, 900), st.integers(-60, 60), st.booleans()), max_size=25))
    def check(steps: Sequence[tuple[int, int, bool]]) -> None:
        claim, model, now = rolling(uuid.uuid4().hex, until=START + 10**6), Slices(), START
        for number, (passed, cost, reserved) in enumerate(steps):
            call_id = f"{claim.key} {number}"
            if reserved:
                fits = ledger.reserve(call_id, [claim], amounts(9), now=now, lease=1000) is None
                assert fits == (model.age(now) + 9 <= 100)
            now += passed
            assert ledger.standing(claim.key, now=now).spent["nano_usd"] == model.age(now)
            settled = ledger.settle(call_id, [claim], amounts(cost), now=now)
            assert settled[0][1] == stands(spent=amounts(model.spend(cost, now)))

    check()


class SharedRollingContract:
    """The tests with more than one process."""

    def test_three_processes_race_through_time(self, url: str, ledger: Ledger) -> None:
        """For three windows, three processes spend what they get: no true window has more, and room comes back."""
        begins = f"{time.time()}"
        started = [worker(url, "roll", f"{name} {begins}") for name in "abc"]
        processes = [each.__enter__() for each in started]
        ended = [process.communicate(timeout=60) for process in processes]
        for each in started:
            each.__exit__(None, None, None)
        assert [errors for _, errors in ended] == [""] * 3
        told = [json.loads(out) for out, _ in ended]
        times = sorted((at, cost) for each in told for at, cost in each["spent"])
        late = max(each["late"] for each in told) * SPEED
        assert ROLLING.rolling is not None
        limit = ROLLING.limits["nano_usd"]
        assert max(within(times, at, ROLLING.rolling - late) for at, _ in times) <= limit
        assert limit < sum(cost for _, cost in times) <= 4 * limit
        end = max(at for at, _ in times) + ROLLING.rolling + slice_seconds(ROLLING.rolling) + late
        assert ledger.standing(ROLLING.key, now=end) == stands()
