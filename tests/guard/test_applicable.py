"""Which budgets apply is worked out once for the same values and windows, and never wrongly kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_agentcost.core import budgets
from otel_agentcost.guard import Policy, applicable
from otel_agentcost.guard.applicable import ApplicableBudgets
from tests.guard.guards import NOW, facts
from tests.support.memory import objects

RULES = budgets.parse(
    "trace:usd=1;user/hour:usd=1;user=u2:tokens=5;model=small:calls=3;total/month:usd=9,on_exceed=warn"
)


def keys(found: applicable.Applicable) -> list[str]:
    return [claim.key for claim in found.claims]


def test_the_answer_is_kept_and_is_that_of_the_call() -> None:
    """The same values get the same answer, and another user, trace or model another."""
    finder = ApplicableBudgets(RULES, Policy())
    first = finder.find(facts(), "big", NOW)
    assert finder.find(facts(), "big", NOW + 1) is first
    assert keys(first) == ["trace/all/t1", "user/2027-01-15T08+0000/u1", "total/2027-01/"]
    assert keys(finder.find(facts(user="u2"), "big", NOW))[2] == "user/all/u2"
    assert keys(finder.find(facts(trace="t2"), "big", NOW))[0] == "trace/all/t2"
    assert keys(finder.find(facts(), "small", NOW))[2] == "model/all/small"
    assert (first.dollars, first.measured, first.clamps, first.timed) == (True, True, False, False)


def test_a_budget_that_warns_holds_nothing_and_claims_no_limit() -> None:
    """Only what blocks is limited."""
    finder = ApplicableBudgets(budgets.parse("total:usd=1,on_exceed=warn;trace:calls=2"), Policy())
    found = finder.find(facts(), "big", NOW)
    assert [claim.limits for claim in found.claims] == [{}, {"calls": 2}]
    assert (found.dollars, found.measured) == (False, False)


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 86_400.0 * 40])
def test_no_answer_outlives_its_window(seconds: float) -> None:
    """In whichever direction the clock goes, the key is that of the call's own time."""
    finder = ApplicableBudgets(RULES, Policy())
    for _ in range(2):
        here, there = finder.find(facts(), "big", NOW), finder.find(facts(), "big", NOW + seconds)
        for found, now in ((here, NOW), (there, NOW + seconds)):
            assert keys(found)[1] == RULES[1].key("u1", budgets.period("hour", now))
            assert found.since <= now < found.until


def test_a_trace_is_remembered_for_a_day_after_each_call() -> None:
    """The end that ledgers are told moves on by the hour, and never comes sooner than a day later."""
    finder = ApplicableBudgets(RULES, Policy())
    for minutes in range(0, 600, 7):
        now = NOW + minutes * 60
        until = finder.find(facts(), "big", now).claims[0].until
        assert until is not None
        assert now + applicable.IDLE <= until <= now + applicable.IDLE + applicable.STEP


def test_allowances_are_added_for_their_call_alone() -> None:
    """What `run(...)` gives itself does not stay with the next call of the same user."""
    finder = ApplicableBudgets(RULES, Policy(on_exceed="clamp"))
    (allowance,) = budgets.parse("trace:seconds=5,tokens=9")
    within = replace(facts(), allowances=((replace(allowance, scope="run"), "r1"),))
    assert keys(finder.find(within, "big", NOW))[-1] == "run/all/r1"
    assert finder.find(within, "big", NOW).timed
    assert not finder.find(facts(), "big", NOW).timed


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million traces leave no more than the last of them."""
    monkeypatch.setattr(applicable, "AT_MOST", 10)
    finder = ApplicableBudgets(RULES, Policy())
    sizes = list[int]()
    for number in range(100):
        finder.find(facts(trace=f"t{number}"), "big", NOW)
        sizes.append(objects(finder))
    assert max(sizes) > sizes[0]
    assert max(sizes[20:]) <= max(sizes[:20])
