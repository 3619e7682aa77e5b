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
        """Of a day an hour. Spend of the last minute counts in the next one: a clock may be ahead so much."""
        assert (slice_seconds(WINDOW), slice_seconds(86_400), slice_seconds(5)) == (WIDTH, 3600, 1)
        at = [slice_end(WINDOW, START + after) for after in (0, WIDTH - GRACE - 0.1, WIDTH - GRACE, WIDTH)]
        assert at == [START + WIDTH, START + WIDTH, START + 2 * WIDTH, START + 2 * WIDTH]

    def test_spend_counts_until_its_slice_is_as_old_as_the_window(self, ledger: Ledger) -> None:
        """Never less than the window, and at most a slice and a minute longer; for all verbs."""
        assert ledger.rolling
        assert spend(ledger, "a", 60, 5) == 60
        assert spend(ledger, "b", 30, 220) == 90
        assert [spent(ledger, at) for at in (2499.9, 2500, 2699.9, 2700)] == [90, 30, 30, 0]
        assert spend(ledger, "c", 80, 3000) == 80
        assert not admitted(ledger, "d", [rolling()], 21, now=START + 3000 + WINDOW)
        assert admitted(ledger, "d", [rolling()], 100, now=START + 3000 + WINDOW + WIDTH)

    def test_a_refusal_says_when_enough_is_free_again(self, ledger: Ledger) -> None:
        """The end of the last slice that must go; nothing for a call that does not fit even then."""
        for call_id, nano, at in (("a", 40, 5), ("b", 20, 130), ("c", 30, 230)):
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
        ledger.settle("b", [budget], amounts(3), now=START + 130)
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
        """What is spent by a clock that is behind counts as long as the newest spend, and nothing is lost."""
        spend(ledger, "a", 50, 2000)
        assert spent(ledger, 0) == 50
        assert not admitted(ledger, "b", [rolling()], 51, now=START)
        assert spend(ledger, "c", 40, -200) == 90
        assert [spent(ledger, at) for at in (-20_000, 2000, 2000 + WINDOW)] == [90, 90, 90]
        assert spent(ledger, 2000 + WINDOW + WIDTH) == 0

    def test_a_clock_that_is_far_behind_frees_nothing_of_others(self, ledger: Ledger) -> None:
        """However often it calls. Its spend counts for itself, with all of theirs."""
        for number in range(5):
            at = 10_000 + 10 * number
            assert spend(ledger, f"right {number}", 10, at) == 10 * (number + 1)
            assert spend(ledger, f"behind {number}", 1, -(10**6) + 20 * WINDOW * number) == 10 * (number + 1) + 1
            assert not admitted(
                ledger, f"behind {number} x", [rolling()], 100, now=START - 10**6 + 20 * WINDOW * number
            )
            assert spent(ledger, at + 1) == 10 * (number + 1)

    def test_a_look_by_a_clock_that_is_ahead_changes_nothing(self, ledger: Ledger) -> None:
        """Neither spend nor reservations, of windows of all kinds: `agentcost budgets` runs on any machine."""
        claims = [rolling(), Claim(key="user/day/u1", limits={"nano_usd": 100}, until=START + WINDOW)]
        ledger.settle("a", claims, amounts(60), now=START)
        assert ledger.reserve("b", claims, amounts(30), now=START, lease=600) is None
        for ahead in (601, WINDOW + WIDTH, 10 * WINDOW, 10**9):
            for _ in range(100):  # clean-ups are not done for each verb
                for claim in claims:
                    counts = ahead < WINDOW
                    told = ledger.standing(claim.key, now=START + ahead)
                    assert told == stands(spent=amounts(60 if counts else 0)), ahead
                ledger.keys(now=START + ahead)
            assert [ledger.standing(claim.key, now=START + 1) for claim in claims] == [
                stands(spent=amounts(60), held=amounts(30))
            ] * 2, ahead

    def test_calls_of_a_clock_that_is_ahead_free_nothing_of_others(self, ledger: Ledger) -> None:
        """They find room too early, and what they spend counts for all; that of others still does."""
        spend(ledger, "a", 70, 5)
        for number, ahead in enumerate((WINDOW + WIDTH, 2 * WINDOW, 10 * WINDOW, 10 * WINDOW + 1)):
            assert admitted(ledger, f"early {number}", [rolling()], 20, now=START + 10 + ahead)
            ledger.release(f"early {number}", now=START + 10 + ahead)
            spend(ledger, f"ahead {number}", 5, 10 + ahead)
            assert spent(ledger, 20) == 75 + 5 * number
        assert not admitted(ledger, "b", [rolling()], 11, now=START + 20)
        assert spend(ledger, "c", 10, 20) == 100
        assert not admitted(ledger, "d", [rolling()], 1, now=START + WINDOW)

    def test_spend_of_a_clock_far_ahead_counts_for_one_window(self, ledger: Ledger) -> None:
        """From the next call on; then refusals end."""
        year = 365 * 86_400
        spend(ledger, "ahead", 60, year)
        assert not admitted(ledger, "b", [rolling()], 41, now=START + 5)
        assert spend(ledger, "c", 30, 1000) == 90
        refused = ledger.reserve("d", [rolling()], amounts(60), now=START + 1000, lease=60)
        assert refused is not None
        assert (refused.spent, refused.free_at) == (90, START + 5 + WINDOW + GRACE)
        assert [spent(ledger, at) for at in (WINDOW, WINDOW + GRACE + 5)] == [90, 30]
        assert spend(ledger, "e", 1, WINDOW + GRACE + 5) == 31
        assert [spent(ledger, at) for at in (2 * WINDOW, year - 5)] == [1, 0]

    def test_a_clock_that_stays_ahead_keeps_its_spend(self, ledger: Ledger) -> None:
        """Two machines' clocks differ by a year: what each spends counts for both as long as it is spent."""
        year, counted = 365 * 86_400, list[tuple[int, int]]()
        for at in range(0, 4 * WINDOW, 800):
            counted.append((spend(ledger, f"ahead {at}", 1, year + at), spend(ledger, f"right {at}", 1, at)))
        assert counted[0] == (1, 2)
        assert counted[-1] == (4, 4 + len(counted))

    def test_clocks_that_differ_a_little_open_no_second_limit(self, ledger: Ledger) -> None:
        """By as much as GRACE, in all slices: until the window is over by the true time, there is no room."""
        for number, at in enumerate(range(0, 3 * WIDTH, 7)):
            claim = rolling(f"user/40m/u{number}")
            behind, ahead = START + at - GRACE / 2, START + at + WINDOW + GRACE / 2
            ledger.settle(f"a{number}", [claim], amounts(100), now=behind)
            assert not admitted(ledger, f"b{number}", [claim], 1, now=ahead - 0.01), at
            assert admitted(ledger, f"b{number}", [claim], 100, now=ahead + WIDTH + 0.01), at

    def test_a_call_is_told_when_all_budgets_have_room(self, ledger: Ledger) -> None:
        """The latest time of all windows and units; none if one has no such time."""
        long = Claim(key="user/2h/u1", limits={"nano_usd": 100}, until=START + 9000, rolling=7200)
        both = Claim(key="user/80m/u1", limits={"nano_usd": 100, "calls": 5}, until=START + 9000, rolling=4800)
        day = Claim(key="user/day/u1", limits={"nano_usd": 100}, until=START + 10**6)
        claims = [rolling(), long, both, day]
        ledger.settle("a", claims, amounts(60, 0, 1), now=START)
        ledger.settle("b", claims, amounts(20, 0, 4), now=START + 1000)
        first, last = slice_end(7200, START) + 7200, slice_end(4800, START + 1000) + 4800
        for budgets, units, free in (
            ([rolling(), long], (30, 0, 0), first),
            ([long, rolling()], (30, 0, 0), first),
            ([both], (30, 0, 4), last),
            ([both, rolling()], (30, 0, 4), last),
            ([rolling(), day], (30, 0, 0), None),
            ([day, rolling()], (30, 0, 0), None),
            ([rolling(), long], (101, 0, 0), None),
        ):
            refused = ledger.reserve("c", budgets, amounts(*units), now=START + 1001, lease=60)
            assert refused is not None
            assert refused.free_at == free, (budgets, units)

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
        for name, at in (("first", 5), ("second", 230)):
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
            assert within(times, now, WINDOW + GRACE) <= counted <= within(times, now, WINDOW + WIDTH + GRACE)
            fits = ledger.reserve(call_id, [claim], amounts(worst), now=now, lease=1000) is None
            assert fits == (counted + worst <= 100)
            now += takes
            if fits:
                ledger.settle(call_id, [claim], amounts(worst * share // 100), now=now)
                times.append((now, worst * share // 100))
        assert all(within(times, at, WINDOW) <= 100 for at, _ in times)
        now += WINDOW + WIDTH + GRACE
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
        return sum(cost for end, cost in self.slices.items() if end + WINDOW > now)

    def spend(self, cost: int, now: float) -> int:
        end = max([slice_end(WINDOW, now), *self.slices])
        self.slices[end] = self.slices.get(end, 0) + max(0, cost)
        for each in sorted(end for end in self.slices if end + WINDOW > now):
            taken = min(self.slices[each], max(0, -cost))
            self.slices[each] -= taken
            cost += taken
        return self.age(now)


def check_against_slices(ledger: Ledger) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.integers(-90, 900), st.integers(-60, 60), st.booleans()), max_size=25))
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
        end = max(at for at, _ in times) + ROLLING.rolling + slice_seconds(ROLLING.rolling) + GRACE + late
        assert ledger.standing(ROLLING.key, now=end) == stands()
