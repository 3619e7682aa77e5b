"""Circuit breakers on every ledger: when they open, who else sees it, and how they close again."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping

import pytest

from otel_agentcost.core.breakers import parse
from otel_agentcost.core.budgets import Scope
from otel_agentcost.guard import Breakers, Verdict
from otel_agentcost.guard.breakers import FRESH, TRIAL
from otel_agentcost.guard.ledger import Ledger, LedgerError, Standing, open_ledger
from otel_agentcost.guard.ledger.memory import MemoryLedger
from otel_agentcost.guard.resilient_ledger import ResilientLedger
from tests.guard.guards import NOW
from tests.guard.test_queue import url
from tests.guard.test_resilient_ledger import Moody

__all__ = ["url"]

RULE = "agent:trips=3/10m,open=5m"
WHO: Mapping[Scope, str] = {"agent": "researcher", "user": "u1"}
_ids = itertools.count()


class Clock:
    """Time in the process, for what is remembered of a shared ledger."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Unplugged(Moody):
    """Which can be: not even how something stands is known then."""

    def standing(self, key: str, *, now: float) -> Standing:
        self._check()
        return super().standing(key, now=now)


def breakers(ledger: Ledger, rule: str = RULE, clock: Clock | None = None) -> Breakers:
    clock = clock or Clock()
    return Breakers(parse(rule), ResilientLedger(ledger, clock, ""), lambda: f"id-{next(_ids)}", clock)


def opened(made: Breakers, now: float = NOW) -> None:
    """Trips it as often as it takes."""
    changes = [change for _ in range(3) for change in made.trip(WHO, "refusals", now)]
    assert [change.state for change in changes] == ["open"]


def test_it_opens_when_it_has_tripped_often_enough(url: str) -> None:
    """Not before, and for the agent alone that it was about; once, however often it goes on."""
    made = breakers(open_ledger(url))
    assert made.trip(WHO, "refusals", NOW) == []
    assert made.trip(WHO, "loops", NOW + 1) == []
    assert made.check(WHO, NOW + 2) == Verdict()
    (change,) = made.trip(WHO, "refusals", NOW + 2)
    assert (change.value, change.state) == ("researcher", "open")
    refusing = made.check(WHO, NOW + 3).refusing
    assert refusing is not None
    assert refusing[1] == "researcher"
    assert made.check({"agent": "writer"}, NOW + 3) == Verdict()
    assert made.trip(WHO, "refusals", NOW + 4) == []


def test_what_is_long_ago_does_not_count(url: str) -> None:
    """Three in half an hour are not three in ten minutes."""
    made = breakers(open_ledger(url))
    for minutes in (0, 10, 20, 30):
        assert made.trip(WHO, "loops", NOW + 60 * minutes) == []


def test_after_its_time_one_call_is_tried_and_closes_it(url: str) -> None:
    """While it is tried, others are refused; what tripped it before does not count any more."""
    clock = Clock()
    made = breakers(open_ledger(url), clock=clock)
    opened(made)
    assert made.check(WHO, NOW + 299).refusing is not None
    clock.now += FRESH
    tried = made.check(WHO, NOW + 301)
    assert len(tried.trials) == 1
    assert made.check(WHO, NOW + 301).refusing is not None
    (change,) = made.close_trials(tried, NOW + 302)
    assert change.state == "closed"
    assert made.check(WHO, NOW + 303) == Verdict()
    assert made.trip(WHO, "refusals", NOW + 304) == []
    assert made.trip(WHO, "refusals", NOW + 304) == []
    assert len(made.trip(WHO, "refusals", NOW + 304)) == 1


def test_a_trial_that_trips_opens_it_again(url: str) -> None:
    """At once, and for the whole time."""
    clock = Clock()
    made = breakers(open_ledger(url), clock=clock)
    opened(made)
    clock.now += FRESH
    tried = made.check(WHO, NOW + 301)
    made.abandon(tried, NOW + 301)
    (change,) = made.trip(WHO, "refusals", NOW + 301)
    assert change.state == "open"
    clock.now += FRESH
    assert made.check(WHO, NOW + 600).refusing is not None
    clock.now += FRESH
    tried = made.check(WHO, NOW + 602)
    made.close_trials(tried, NOW + 602)  # closes both openings
    assert made.check(WHO, NOW + 603) == Verdict()


def test_a_trial_of_which_nothing_is_heard_makes_room_for_the_next(url: str) -> None:
    """Its process may have died."""
    clock = Clock()
    made = breakers(open_ledger(url), clock=clock)
    opened(made)
    clock.now += FRESH
    assert made.check(WHO, NOW + 301).trials
    clock.now += FRESH
    assert made.check(WHO, NOW + 301 + TRIAL - 1).refusing is not None
    assert made.check(WHO, NOW + 301 + TRIAL + 1).trials


@pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)
def test_other_processes_see_it_and_count_along(url: str) -> None:
    """Within a second; a trial is one for all of them."""
    clock = Clock()
    one, other = breakers(open_ledger(url), clock=clock), breakers(open_ledger(url), clock=clock)
    assert other.check(WHO, NOW) == Verdict()
    one.trip(WHO, "refusals", NOW)
    other.trip(WHO, "refusals", NOW)
    (change,) = one.trip(WHO, "refusals", NOW)
    assert change.state == "open"
    clock.now += FRESH
    assert other.check(WHO, NOW + 1).refusing is not None
    clock.now += FRESH
    assert one.check(WHO, NOW + 301).trials
    assert other.check(WHO, NOW + 301).refusing is not None


def test_many_threads_open_it_once_and_try_it_once(url: str) -> None:
    """Whoever comes first is the one who tells."""
    clock = Clock()
    made = breakers(open_ledger(url), clock=clock)
    changes: list[object] = []
    trials: list[object] = []

    def trip() -> None:
        changes.extend(made.trip(WHO, "loops", NOW))

    def attempt() -> None:
        trials.extend(made.check(WHO, NOW + 301).trials)

    for act in (trip, attempt):
        threads = [threading.Thread(target=act) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.now += FRESH
    assert (len(changes), len(trials)) == (1, 1)


def test_refusals_and_loops_can_be_told_apart() -> None:
    """A rule about loops counts no refusals."""
    made = breakers(MemoryLedger(), "agent=researcher:loops=1/1m,open=1m")
    assert made.trip(WHO, "refusals", NOW) == []
    assert len(made.trip(WHO, "loops", NOW)) == 1
    assert made.trip({"agent": "writer"}, "loops", NOW) == []


def test_where_one_of_two_refuses_the_other_is_not_tried() -> None:
    """A trial that no call was made for is given back."""
    made = breakers(MemoryLedger(), "agent:loops=1/1m,open=1m;user:refusals=1/1m,open=9m")
    made.trip(WHO, "loops", NOW)
    made.trip(WHO, "refusals", NOW)
    assert made.check(WHO, NOW + 61).refusing is not None
    assert made.check({"agent": "researcher"}, NOW + 61).trials


def test_a_ledger_that_does_not_answer_refuses_nothing() -> None:
    """Whether calls are made then is for the budgets to say."""
    ledger = Unplugged()
    made = breakers(ledger)
    opened(made)
    ledger.down = LedgerError("it is unplugged.")
    assert made.check(WHO, NOW + 1) == Verdict()
    assert made.trip(WHO, "refusals", NOW + 1) == []


@pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)
def test_who_hears_late_of_a_closing_does_not_try_again(url: str) -> None:
    """What was seen a moment ago may be over: then the call is just made, and nothing is closed a second time."""
    clock = Clock()
    one, other = breakers(open_ledger(url), clock=clock), breakers(open_ledger(url), clock=clock)
    opened(one)
    clock.now += FRESH
    tried = one.check(WHO, NOW + 301)
    assert other.check(WHO, NOW + 301).refusing is not None
    one.close_trials(tried, NOW + 301)
    assert other.check(WHO, NOW + 301) == Verdict()
    opened(one, NOW + 302)
    clock.now += FRESH
    assert other.check(WHO, NOW + 603).trials


def test_a_trial_that_was_given_up_for_lost_closes_nothing_twice(url: str) -> None:
    """It comes back after the next one has closed the breaker, which still is tried when it has opened again."""
    clock = Clock()
    made = breakers(open_ledger(url), clock=clock)
    opened(made)
    clock.now += FRESH
    late = made.check(WHO, NOW + 301)
    clock.now += FRESH
    made.close_trials(made.check(WHO, NOW + 302 + TRIAL), NOW + 302 + TRIAL)
    made.close_trials(late, NOW + 303 + TRIAL)
    opened(made, NOW + 400)
    clock.now += FRESH
    assert made.check(WHO, NOW + 701).trials


def test_many_threads_that_end_a_trial_close_it_once(url: str) -> None:
    """And whoever saw it half-open then makes a call, or is refused; nobody tries what is closed."""
    clock = Clock()
    made = breakers(open_ledger(url), clock=clock)
    opened(made)
    clock.now += FRESH
    closings: list[object] = []

    def attempt() -> None:
        for _ in range(20):
            closings.extend(made.close_trials(made.check(WHO, NOW + 301), NOW + 301))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(closings) == 1


def test_a_trial_does_not_make_the_ledger_remember_for_ever(url: str) -> None:
    """Two days after its time, nothing of a breaker is left: users come without end."""
    clock = Clock()
    ledger = open_ledger(url)
    made = breakers(ledger, clock=clock)
    opened(made)
    clock.now += FRESH
    made.abandon(made.check(WHO, NOW + 301), NOW + 301)
    clock.now += FRESH
    assert made.check(WHO, NOW + 2 * 86400) == Verdict()


def test_names_cannot_be_taken_for_counts() -> None:
    """Somebody who is called like a part of another's figures has a breaker of his own all the same."""
    made = breakers(MemoryLedger(), "user:trips=3/10m,open=5m")
    made.trip({"user": "u1"}, "refusals", NOW)
    assert made.check({"user": f"u1/0/{int(NOW // 60)}"}, NOW) == Verdict()


def test_a_trial_that_a_budget_refuses_opens_a_breaker_for_loops_again() -> None:
    """Nothing is known of what it would have done: it is not asked about before each call from then on."""
    made = breakers(MemoryLedger(), "agent:loops=1/1m,open=1m")
    made.trip(WHO, "loops", NOW)
    tried = made.check(WHO, NOW + 61)
    (change,) = made.trip(WHO, "refusals", NOW + 61, tried)
    assert change.state == "open"
    assert made.check(WHO, NOW + 62).refusing is not None


def test_a_loop_that_goes_on_is_no_reason_to_close() -> None:
    """It was counted once, and only a breaker that is to be tried looks at it again."""
    made = breakers(MemoryLedger(), "agent:loops=1/1m,open=1m")
    assert made.continue_loop(WHO, NOW) == []
    made.trip(WHO, "loops", NOW)
    assert made.continue_loop(WHO, NOW + 30) == []
    (change,) = made.continue_loop(WHO, NOW + 61)
    assert change.state == "open"


def test_a_ledger_that_fails_at_the_trial_refuses_nothing() -> None:
    """It has said that the breaker is half-open, and no more."""
    ledger = Unplugged()
    made = breakers(ledger)
    opened(made)
    answer = ledger.standing

    def last_words(key: str, *, now: float) -> Standing:
        found = answer(key, now=now)
        ledger.down = LedgerError("it is unplugged.")
        return found

    ledger.standing = last_words  # type: ignore[method-assign]
    assert made.check(WHO, NOW + 301) == Verdict()
