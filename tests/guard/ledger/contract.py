"""What every ledger does. A kind's test class derives from `LedgerContract` and gives the fixture `url`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from otel_agentcost.guard.ledger import GRACE, REMEMBER, Ledger, Refusal, open_ledger
from tests.guard.ledger.calls import NOW, admitted, amounts, claim, in_a_child, stands
from tests.guard.ledger.state_machine import check_against_a_model

HOSTILE = "user={agentcost}:*?[a]\r\n\x00\ud800'\"; DROP TABLE accounts; -- é🜚"


class LedgerContract:
    """The tests of one kind of ledger."""

    @pytest.fixture
    def ledger(self, url: str) -> Iterator[Ledger]:
        ledger = open_ledger(url)
        yield ledger
        ledger.close()

    def test_a_call_is_held_then_spent(self, ledger: Ledger) -> None:
        """A reservation is held; settling turns it into what the call really took; both are told."""
        budget = claim(nano_usd=100)
        assert ledger.reserve("a", [budget], amounts(80, 10, 1), now=NOW, lease=60) is None
        assert ledger.standing(budget.key, now=NOW) == stands(held=amounts(80, 10, 1))
        settled = ledger.settle("a", [budget], amounts(30, 7, 1), now=NOW + 1)
        assert settled == [(budget, stands(spent=amounts(30, 7, 1)))]
        assert ledger.standing(budget.key, now=NOW + 1) == stands(spent=amounts(30, 7, 1))

    def test_up_to_the_limit_and_not_beyond(self, ledger: Ledger) -> None:
        """Spent, held and requested together may reach the limit; one more is refused, with all figures."""
        budget = claim(nano_usd=100, calls=50)
        ledger.settle("before", [budget], amounts(30), now=NOW)
        assert admitted(ledger, "a", [budget], 50)
        assert ledger.reserve("b", [budget], amounts(21), now=NOW, lease=60) == Refusal(
            key=budget.key, unit="nano_usd", limit=100, spent=30, held=50, requested=21
        )
        assert admitted(ledger, "b", [budget], 20)
        assert not admitted(ledger, "c", [budget], 1)

    def test_all_claims_or_none(self, ledger: Ledger) -> None:
        """Where one budget of several has no room, nothing is held in any of them, in whatever order they come."""
        roomy, tight = claim("total", nano_usd=1000, until=None), claim("user", nano_usd=10)
        for claims in ([roomy, tight], [tight, roomy]):
            refused = ledger.reserve("a", claims, amounts(11), now=NOW, lease=60)
            assert refused is not None
            assert (refused.key, refused.unit) == ("user", "nano_usd")
            assert ledger.standing("total", now=NOW) == ledger.standing("user", now=NOW) == stands()

    def test_every_unit_has_its_limit(self, ledger: Ledger) -> None:
        """Money, tokens, calls and tool calls are counted apart, and limited where they have a limit."""
        budget = claim(tokens=100, calls=1)
        assert ledger.reserve("a", [budget], amounts(10**12, 60, 1), now=NOW, lease=60) is None
        by_calls = ledger.reserve("b", [budget], amounts(0, 1, 1), now=NOW, lease=60)
        by_tokens = ledger.reserve("b", [budget], amounts(0, 41, 0), now=NOW, lease=60)
        assert [refused and refused.unit for refused in (by_calls, by_tokens)] == ["calls", "tokens"]

    def test_waiting_may_help_only_where_the_rest_is_held(self, ledger: Ledger) -> None:
        """Of several refusals the one that no waiting can change is told."""
        held, spent = claim("held", nano_usd=10), claim("spent", nano_usd=10)
        assert admitted(ledger, "a", [held], 10)
        ledger.settle("b", [spent], amounts(10), now=NOW)
        alone = ledger.reserve("c", [held], amounts(1), now=NOW, lease=60)
        assert alone is not None
        assert alone.only_held
        for claims in ([held, spent], [spent, held]):
            refused = ledger.reserve("c", claims, amounts(1), now=NOW, lease=60)
            assert refused is not None
            assert (refused.key, refused.only_held) == ("spent", False)

    def test_repeating_a_verb_changes_nothing(self, ledger: Ledger) -> None:
        """A reservation, a settle or a release that is sent twice counts once."""
        budget = claim(nano_usd=100)
        assert admitted(ledger, "a", [budget], 60)
        assert admitted(ledger, "a", [budget], 60)
        assert ledger.standing(budget.key, now=NOW) == stands(held=amounts(60))
        first = ledger.settle("a", [budget], amounts(50), now=NOW)
        assert ledger.settle("a", [budget], amounts(50), now=NOW + REMEMBER / 2) == first
        assert admitted(ledger, "a", [budget], 60)
        ledger.release("a", now=NOW)
        ledger.release("a", now=NOW)
        assert ledger.standing(budget.key, now=NOW) == stands(spent=amounts(50))

    def test_a_release_gives_everything_back(self, ledger: Ledger) -> None:
        """After a release there is room again, also for the same call; releasing what is not held does nothing."""
        budget = claim(nano_usd=10)
        ledger.release("a", now=NOW)
        for _ in range(2):
            assert admitted(ledger, "a", [budget], 10)
            assert not admitted(ledger, "b", [budget], 1)
            ledger.release("a", now=NOW)
            assert ledger.standing(budget.key, now=NOW) == stands()

    def test_money_that_was_spent_counts_without_a_hold(self, ledger: Ledger) -> None:
        """Never reserved, released or expired: what a call took is counted, once, even beyond the limit."""
        budget = claim(nano_usd=10)
        assert admitted(ledger, "released", [budget], 5)
        ledger.release("released", now=NOW)
        for call_id in ("released", "unknown", "unknown"):
            ledger.settle(call_id, [budget], amounts(7), now=NOW)
        assert ledger.standing(budget.key, now=NOW) == stands(spent=amounts(14))

    def test_a_hold_ends_with_its_lease(self, ledger: Ledger) -> None:
        """What a call that was never heard of again holds is free from the end of its lease on, not before."""
        budget = claim(nano_usd=10, until=None)
        assert admitted(ledger, "lost", [budget], 10)
        assert not admitted(ledger, "next", [budget], 10, now=NOW + 59.9)
        assert admitted(ledger, "next", [budget], 10, now=NOW + 60)
        ledger.settle("lost", [budget], amounts(4), now=NOW + 61)
        assert ledger.standing(budget.key, now=NOW + 61) == stands(spent=amounts(4), held=amounts(10))

    def test_what_has_ended_is_forgotten_after_a_while(self, ledger: Ledger) -> None:
        """A key is kept until its end and a grace, which later calls put off; one without an end is kept."""
        day, trace, ever = claim("day", until=NOW + 100), claim("trace", until=NOW + 100), claim("ever", until=None)
        ledger.settle("a", [day, trace, ever], amounts(5), now=NOW)
        ledger.settle("b", [claim("trace", until=NOW + 150)], amounts(5), now=NOW + 50)
        for after, left in ((100, [5, 10, 5]), (100 + GRACE, [0, 10, 5]), (150 + GRACE, [0, 0, 5]), (1e9, [0, 0, 5])):
            found = [ledger.standing(key, now=NOW + after).spent["nano_usd"] for key in ("day", "trace", "ever")]
            assert found == left

    def test_a_key_is_kept_as_long_as_a_call_holds_of_it(self, ledger: Ledger) -> None:
        """A call that outlasts its trace's idle time does not make the trace's spend forgotten."""
        ledger.settle("a", [claim("trace", until=NOW + 1)], amounts(5), now=NOW)
        ledger.reserve("b", [claim("trace", until=NOW + 1)], amounts(3), now=NOW, lease=600)
        assert ledger.standing("trace", now=NOW + 599) == stands(spent=amounts(5), held=amounts(3))

    def test_a_clock_that_goes_back_forgets_nothing(self, ledger: Ledger) -> None:
        """Machines' clocks differ: neither spend nor a live hold is lost to a verb that comes from the past."""
        budget = claim(nano_usd=10, until=NOW + 10)
        ledger.settle("a", [budget], amounts(4), now=NOW + 12)
        assert ledger.reserve("b", [budget], amounts(6), now=NOW + 5, lease=60) is None
        assert not admitted(ledger, "c", [budget], 1, now=NOW - 3600)
        assert ledger.standing(budget.key, now=NOW - 3600) == stands(spent=amounts(4), held=amounts(6))

    def test_two_rules_on_one_key_count_once(self, ledger: Ledger) -> None:
        """Claims with the same key are one account with the limits of both."""
        wide, narrow = claim("k", nano_usd=100), claim("k", nano_usd=10)
        assert not admitted(ledger, "a", [wide, narrow], 11)
        assert admitted(ledger, "a", [wide, narrow], 10)
        assert ledger.standing("k", now=NOW) == stands(held=amounts(10))
        settled = ledger.settle("a", [wide, narrow], amounts(9), now=NOW)
        assert settled == [(wide, stands(spent=amounts(9))), (narrow, stands(spent=amounts(9)))]

    def test_keys_and_ids_are_any_text(self, ledger: Ledger) -> None:
        """Quotes, wildcards, line ends, NUL, half a surrogate, nothing at all: each is a key and an id of its own."""
        for text in (HOSTILE, "", "a b", "x" * 10_000):
            budget = claim(text, nano_usd=10)
            assert admitted(ledger, text, [budget], 10)
            assert not admitted(ledger, text + "2", [budget], 1)
            ledger.settle(text, [budget], amounts(3), now=NOW)
            assert ledger.standing(text, now=NOW) == stands(spent=amounts(3))

    def test_exact_far_beyond_what_a_double_holds(self, ledger: Ledger) -> None:
        """Half a billion dollars and one nano-dollar are told apart from half a billion dollars."""
        half = 5 * 10**17
        budget = claim(nano_usd=half + 1)
        ledger.settle("a", [budget], amounts(half - 8), now=NOW)
        assert admitted(ledger, "b", [budget], 8)
        assert not admitted(ledger, "c", [budget], 2)
        assert admitted(ledger, "c", [budget], 1)
        ledger.settle("c", [budget], amounts(1), now=NOW)
        assert ledger.standing(budget.key, now=NOW) == stands(spent=amounts(half - 7), held=amounts(8))

    def test_a_refund_is_given_back_once_and_never_more_than_was_spent(self, ledger: Ledger) -> None:
        """A negative amount makes room again; no sum falls below 0, and every budget stands for itself."""
        user, total = claim("user", nano_usd=100), claim("total", nano_usd=100, until=None)
        ledger.settle("a", [user, total], amounts(90, 7), now=NOW)
        ledger.settle("b", [total], amounts(5), now=NOW)
        for _ in range(2):
            ledger.settle("refund", [user, total, user], amounts(-92), now=NOW)
        assert ledger.standing("user", now=NOW) == stands(spent=amounts(0, 7))
        assert ledger.standing("total", now=NOW) == stands(spent=amounts(3, 7))
        assert admitted(ledger, "c", [user], 100)
        fresh = ledger.settle("d", [claim("fresh")], amounts(-(10**18)), now=NOW)
        assert [standing for _, standing in fresh] == [stands()]

    @pytest.mark.parametrize("wrong", [-1, 10**18 + 1, 1.5, True])
    def test_what_is_no_amount_is_not_held(self, ledger: Ledger, wrong: int) -> None:
        """A negative hold would make room: it is a programming error, and changes nothing."""
        budget = claim(nano_usd=10)
        with pytest.raises(ValueError, match="nano_usd"):
            ledger.reserve("a", [budget], {"nano_usd": wrong}, now=NOW, lease=60)
        assert ledger.standing(budget.key, now=NOW) == stands()

    @pytest.mark.parametrize("wrong", [-(10**18) - 1, 10**18 + 1, 1.5, True])
    def test_what_is_no_amount_is_not_counted(self, ledger: Ledger, wrong: int) -> None:
        """Nor is anything spent that no sum could hold."""
        budget = claim(nano_usd=10)
        with pytest.raises(ValueError, match="nano_usd"):
            ledger.settle("a", [budget], {"nano_usd": wrong}, now=NOW)
        assert ledger.standing(budget.key, now=NOW) == stands()

    def test_any_sequence_of_verbs_does_what_a_dictionary_does(self, ledger: Ledger) -> None:
        """Random verbs with repeated ids, overlapping claims and passing time equal a plain model, step by step."""
        check_against_a_model(ledger)

    def test_a_hundred_threads_admit_what_fits(self, ledger: Ledger) -> None:
        """Of a hundred calls at the same instant, ten of which fit, exactly ten are admitted."""
        budget = claim(nano_usd=100)
        start = threading.Barrier(100)

        def call(i: int) -> bool:
            start.wait()
            return admitted(ledger, str(i), [budget], 10)

        with ThreadPoolExecutor(100) as pool:
            assert sum(pool.map(call, range(100))) == 10
        assert ledger.standing(budget.key, now=NOW) == stands(held=amounts(100))

    def test_threads_and_settles_never_overspend(self, ledger: Ledger) -> None:
        """Sixteen threads that reserve, settle and release: never over the limit, and the sum is exact."""
        budget = claim(nano_usd=3000, calls=10**6)
        taken: list[int] = []

        def work(thread: int) -> None:
            for i in range(25):
                call_id, cost = f"{thread}-{i}", (thread * 7 + i * 13) % 20
                if not admitted(ledger, call_id, [budget], 20):
                    continue
                if i % 5 == 0:
                    ledger.release(call_id, now=NOW)
                    continue
                taken.append(cost)
                ((_, standing),) = ledger.settle(call_id, [budget], amounts(cost), now=NOW)
                assert standing.spent["nano_usd"] + standing.held["nano_usd"] <= 3000

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        assert ledger.standing(budget.key, now=NOW) == stands(spent=amounts(sum(taken)))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_child_of_a_fork_finds_its_ledger_working(self, ledger: Ledger) -> None:
        """Forked while threads are in the middle of verbs, each child can use the ledger, and the parent still can."""
        budget, stop = claim("shared", nano_usd=10**9), threading.Event()

        def work(thread: int) -> None:
            i = 0
            while not stop.is_set():
                i += 1
                ledger.settle(f"{thread}-{i}", [budget], amounts(1), now=NOW)

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(work, thread) for thread in range(4)]
            try:
                for i in range(8):
                    assert in_a_child(partial(admitted, ledger, f"child-{i}", [claim(f"c{i}", nano_usd=9)], 9))
                    time.sleep(0.01)
            finally:
                stop.set()
            for each in running:
                each.result()
        assert admitted(ledger, "after", [claim("after", nano_usd=9)], 9)
