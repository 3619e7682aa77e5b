"""Who is admitted and who is refused, what is done instead, and what a settled call reports."""

from __future__ import annotations

import pickle
import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from otel_agentcost.core import budgets
from otel_agentcost.guard import Level, Refused
from otel_agentcost.guard import start_times as beginnings_module
from otel_agentcost.guard.opening import opened
from tests.guard.guards import NOW, facts, guard, refused, spent, ticket, usd


def crossings(levels: tuple[Level, ...]) -> list[tuple[str, str | None, float]]:
    return [(level.budget.scope, level.crossed, level.utilization) for level in levels if level.crossed]


def test_without_a_budget_that_applies_nothing_is_asked() -> None:
    """A call under no budget is admitted, and settling it says nothing."""
    g = guard("team/day:usd=1")
    admitted = ticket(g.admit(facts()))
    assert admitted.counted == ()
    assert g.settle(admitted, usd("1"), 5, NOW) == ()


def test_a_call_fits_or_is_refused_before_it_is_made() -> None:
    """The worst case decides: 100 tokens of output cost ten cents, and five of them fit into 60 cents."""
    g = guard("trace:usd=0.60")
    tickets = [ticket(g.admit(facts())) for _ in range(5)]
    error = refused(g.admit(facts())).error
    assert (error.scope, error.value, error.unit, error.limit) == ("trace", "t1", "usd", usd("0.60"))
    assert error.trace_id == "t1"
    assert error.held is not None
    assert error.held > usd("0.5")
    assert str(error.limit) == "0.60"
    for each in tickets:
        g.settle(each, usd("0.05"), 50, NOW)
    assert spent(g, "trace", "t1") == 250_000_000
    ticket(g.admit(facts()))
    assert isinstance(pickle.loads(pickle.dumps(error)), type(error))


def test_all_budgets_must_admit_or_none_holds() -> None:
    """Where the organisation has no room, the user's budget is not touched."""
    g = guard("user/day:usd=1;team/day:usd=0.05;total:usd=10")
    error = refused(g.admit(facts(team="red"))).error
    assert (error.scope, error.value) == ("team", "red")
    assert (spent(g, "user", "u1"), spent(g, "total", "")) == (0, 0)
    ticket(g.admit(facts()))  # of no team


def test_settling_replaces_the_worst_case_and_counts_once() -> None:
    """What was held and not used is free again; a second settle, or a release after it, changes nothing."""
    g = guard("trace:usd=1")
    admitted = ticket(g.admit(facts()))
    assert spent(g, "trace", "t1") == admitted.reserved["nano_usd"] > 100_000_000
    assert g.settle(admitted, usd("0.03"), 30, NOW)
    assert g.settle(admitted, usd("0.03"), 30, NOW) == ()
    g.release(admitted, NOW)
    assert spent(g, "trace", "t1") == 30_000_000


def test_a_released_call_took_nothing() -> None:
    """It counts nowhere, not even as a call."""
    g = guard("trace:usd=1,calls=1")
    g.release(ticket(g.admit(facts())), NOW)
    admitted = ticket(g.admit(facts()))
    assert refused(g.admit(facts())).error.unit == "calls"
    g.settle(admitted, usd("0.5"), 10, NOW)


def test_crossing_the_soft_limit_and_the_limit_is_reported_once_each() -> None:
    """By the call that crosses it and by no other; what is used is always reported."""
    g = guard("trace:usd=1")
    tickets = [ticket(g.admit(facts(1))) for _ in range(7)]
    amounts = ("0.5", "0.29", "0.01", "0.1", "0.1", "0.1", "0.1")
    levels = [g.settle(each, usd(amount), 1, NOW) for each, amount in zip(tickets, amounts, strict=True)]
    assert [level[0].crossed for level in levels] == [None, None, "soft", None, "limit", None, None]
    assert [level[0].utilization for level in levels] == [0.5, 0.79, 0.8, 0.9, 1.0, 1.1, 1.2]


def test_a_call_that_crosses_both_limits_at_once_reports_the_higher() -> None:
    """One event says it all."""
    g = guard("trace:usd=1")
    assert crossings(g.settle(ticket(g.admit(facts(1))), usd("1.5"), 1, NOW)) == [("trace", "limit", 1.5)]


def test_a_budget_that_warns_never_refuses() -> None:
    """It is counted, and its limit is reported when it is crossed."""
    g = guard("trace:usd=0.15,on_exceed=warn")
    first, second, third = (ticket(g.admit(facts())) for _ in range(3))
    assert crossings(g.settle(first, usd("0.1"), 1, NOW)) == []
    assert crossings(g.settle(second, usd("0.1"), 1, NOW)) == [("trace", "limit", 4 / 3)]
    assert crossings(g.settle(third, usd("0.1"), 1, NOW)) == []


def test_a_call_without_a_price_is_admitted_and_counted() -> None:
    """Dollars cannot look at it, which the ticket says; calls and tokens do."""
    g = guard("trace:usd=0.01,calls=1,tokens=1000")
    admitted = ticket(g.admit(facts(model="secret")))
    assert admitted.unpriced == "no price for secret"
    assert [level.spent for level in g.settle(admitted, None, 40, NOW)] == [0, 1, 40]
    assert refused(g.admit(facts(model="secret"))).error.unit == "calls"


def test_without_an_output_limit_one_call_holds_the_rest() -> None:
    """It runs if its input fits, and nothing else does meanwhile; then there is room again."""
    g = guard("trace:usd=0.5")
    admitted = ticket(g.admit(facts(None)))
    assert spent(g, "trace", "t1") == 500_000_000
    for output in (None, 1):
        refusal = refused(g.admit(facts(output)))
        assert refusal.only_held
    g.settle(admitted, usd("0.01"), 10, NOW)
    ticket(g.admit(facts(1)))


def test_far_from_the_limit_calls_without_output_limit_run_side_by_side() -> None:
    """None of them holds more than the longest answer there is."""
    g = guard("total:usd=1000")
    held = [ticket(g.admit(facts(None))).reserved["nano_usd"] for _ in range(8)]
    assert held[0] == pytest.approx(128 * 10**9, rel=0.01)
    assert sum(held) == 1000 * 10**9
    assert refused(g.admit(facts(None))).only_held


def test_an_assumed_answer_holds_no_more() -> None:
    """The other policy: a call without an output limit is taken for one of so many tokens, and is refused without."""
    g = guard("trace:usd=0.5", unlimited_output="assume", longest_answer=200)
    assert len({ticket(g.admit(facts(None))).reserved["nano_usd"] for _ in range(2)}) == 1
    refused(g.admit(facts(None)))


def test_a_models_own_limit_bounds_its_answers() -> None:
    """Where it is known, a call without a limit holds no more than that, so that others can run beside it."""
    g = guard("trace:usd=0.25", max_output=lambda model: 100 if model == "big" else None)
    for _ in range(2):
        assert ticket(g.admit(facts(None))).reserved["nano_usd"] < 110_000_000
    rest = ticket(g.admit(facts(None)))
    assert rest.reserved["nano_usd"] < 50_000_000
    assert rest.most_output_tokens is not None
    refused(g.admit(facts(None)))


def test_an_input_is_counted_only_where_its_bound_does_not_fit() -> None:
    """A prompt of 40 kB is at most 40,000 tokens, and about 10,000: near the limit the count decides."""
    g = guard("trace:tokens=50000")
    long = facts(10)
    long = replace(long, call=long.call._replace(body={"messages": [{"role": "user", "content": "word " * 8000}]}))
    assert ticket(g.admit(long)).reserved["tokens"] > 40_000
    g = guard("trace:tokens=20000")
    assert ticket(g.admit(long)).reserved["tokens"] < 15_000


def test_downgrading_takes_the_first_model_that_fits() -> None:
    """Along the chain, which may go round in circles; and refuses where none fits."""
    chain = {"big": "medium", "medium": "small", "small": "big"}
    g = guard("trace:usd=0.05", on_exceed="downgrade", downgrade=chain)
    assert ticket(g.admit(facts(10))).model is None
    assert ticket(g.admit(facts(100))).model == "small"
    refusal = refused(g.admit(facts(1000)))
    assert refusal.action == "downgrade"


def test_a_model_without_a_price_takes_no_others_place() -> None:
    """It would escape the very budget that the dear one did not fit into."""
    g = guard("trace:usd=0.05", on_exceed="downgrade", downgrade={"big": "secret", "secret": "small"})
    assert ticket(g.admit(facts(100))).model == "small"
    g = guard("trace:usd=0.05", on_exceed="downgrade", downgrade={"big": "secret"})
    refused(g.admit(facts(100)))


def test_clamping_lowers_the_output_limit_to_what_is_left() -> None:
    """Never raises it, and refuses where nothing useful is left."""
    g = guard("trace:usd=0.25", on_exceed="clamp")
    assert ticket(g.admit(facts(100))).max_output_tokens is None
    clamped = ticket(g.admit(facts(300)))
    assert clamped.max_output_tokens is not None
    assert 140 <= clamped.max_output_tokens <= 150
    assert spent(g, "trace", "t1") <= 250_000_000
    assert refused(g.admit(facts(100))).action == "clamp"


def test_clamping_gives_an_output_limit_to_a_call_without_one() -> None:
    """And then nothing can overshoot."""
    g = guard("trace:usd=0.25", on_exceed="clamp")
    clamped = ticket(g.admit(facts(None)))
    assert clamped.max_output_tokens is not None
    assert 240 <= clamped.max_output_tokens <= 250


def test_a_trace_may_take_so_many_seconds() -> None:
    """Counted from its first call; a clock that goes back takes nothing away, and a budget that warns only says so."""
    g = guard("trace:seconds=60;trace:seconds=30,on_exceed=warn")
    assert ticket(g.admit(facts())).over == ()
    assert ticket(g.admit(facts(now=NOW - 100))).over == ()
    assert [level.spent for level in ticket(g.admit(facts(now=NOW + 59))).over] == [59]
    error = refused(g.admit(facts(now=NOW + 60))).error
    assert (error.unit, error.spent, error.limit) == ("seconds", 60, 60)
    ticket(g.admit(facts(now=NOW + 60, trace="t2")))


def test_that_a_trace_takes_too_long_is_told_once() -> None:
    """By a budget that only warns: its first call after the limit has the level, later ones do not repeat it."""
    g = guard("trace:seconds=30,on_exceed=warn")
    told = [len(ticket(g.admit(facts(now=NOW + second, trace=trace))).over) for trace in "ab" for second in (0, 40, 50)]
    assert told == [0, 1, 0, 0, 1, 0]


def test_the_memory_of_traces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many traces the longest unused are forgotten."""
    monkeypatch.setattr(beginnings_module, "AT_MOST", 10)
    g = guard("trace:seconds=60")
    for number in range(100):
        ticket(g.admit(facts(trace=f"t{number}")))
    late = [(number, g.admit(facts(now=NOW + 60, trace=f"t{number}"))) for number in reversed(range(100))]
    assert [number for number, answer in late if isinstance(answer, Refused)] == list(range(99, 89, -1))


def test_tools_are_counted_and_the_next_model_call_is_refused() -> None:
    """A tool call is never refused here; the model may still answer after the last that was allowed."""
    g = guard("trace:tool_calls=2,usd=1")
    for number in range(3):
        ticket(g.admit(facts(1)))
        levels = g.tool_used(facts(), usd("0.01"))
        assert [(level.unit, level.spent) for level in levels] == [
            ("tool_calls", number + 1),
            ("nano_usd", (number + 1) * 10_000_000),
        ]
    assert refused(g.admit(facts(1))).error.unit == "tool_calls"


def test_an_allowance_of_the_code_counts_too() -> None:
    """What `run(...)` gives itself nests with the rules: both must admit."""
    (allowance,) = budgets.parse("trace:usd=0.15")
    allowance = replace(allowance, scope="run")
    g = guard("trace:usd=10")
    ticket(g.admit(replace(facts(), allowances=((allowance, "r1"),))))
    assert refused(g.admit(replace(facts(), allowances=((allowance, "r1"),)))).error.scope == "run"
    ticket(g.admit(replace(facts(), allowances=((allowance, "r2"),))))


def test_a_free_call_is_not_refused_once_dollars_are_overrun() -> None:
    """It adds nothing, so it fits; a call with a price, an unknown one, or one for pages does not."""
    g = guard("user/day:usd=0.00025")
    g.settle(ticket(g.admit(facts(output=0))), usd("0.0012"), 5, NOW)
    free = ticket(g.admit(facts(model="gift")))
    g.settle(free, usd("0"), 150, NOW)
    assert spent(g, "user", "u1") == 1_200_000
    for model in ("big", "secret", "pictures"):
        assert refused(g.admit(facts(model=model))).error.unit == "usd"


def test_a_free_call_is_refused_where_calls_or_tokens_are_used_up() -> None:
    """Only dollars have room for it without end."""
    g = guard("user/day:usd=0.00025,calls=2;team:tokens=500")
    g.settle(ticket(g.admit(facts(output=0))), usd("0.0012"), 5, NOW)
    g.settle(ticket(g.admit(facts(model="gift"))), usd("0"), 150, NOW)
    assert refused(g.admit(facts(model="gift"))).error.unit == "calls"
    other = ticket(g.admit(facts(model="gift", user="u2", team="red")))
    g.settle(other, usd("0"), 499, NOW)
    assert refused(g.admit(facts(model="gift", user="u2", team="red"))).error.unit == "tokens"


def test_a_free_model_takes_the_place_of_a_dear_one_in_an_overrun_budget() -> None:
    """A downgrade to a model that costs nothing always fits."""
    g = guard("user/day:usd=0.00025,on_exceed=downgrade", downgrade={"big": "gift"})
    g.settle(ticket(g.admit(facts(output=0))), usd("0.0012"), 5, NOW)
    assert ticket(g.admit(facts())).model == "gift"


def test_a_free_call_does_not_wait_for_money_that_others_hold() -> None:
    """It passes those who wait for dollars, and only those."""
    g = guard("user/day:usd=0.11", wait_seconds=5.0)
    holding = ticket(g.admit(facts()))
    waiting = threading.Thread(target=lambda: g.admit(facts()))
    waiting.start()
    while not g.waiting:
        time.sleep(0.001)
    began = time.monotonic()
    ticket(g.admit(facts(model="gift")))
    assert time.monotonic() - began < 2
    g.release(holding, NOW)
    waiting.join()


def test_a_free_call_is_not_refused_where_no_ledger_answers() -> None:
    """`LEDGER_DOWN=refuse` keeps dollars from being overspent; nothing can be by this call."""
    down = opened("redis://nowhere.invalid/no-such-db?no_such_option=1", 0.05)
    g = guard("user/day:usd=1", down, ledger_down="refuse")
    assert refused(g.admit(facts())).error.unit == "usd"
    assert ticket(g.admit(facts(model="gift"))).unenforced
    counted = guard("user/day:usd=1,calls=5", down, ledger_down="refuse")
    assert refused(counted.admit(facts(model="gift"))).error.unit == "calls"


def test_a_new_window_is_a_new_allowance_also_when_the_clock_goes_back() -> None:
    """Spending is looked up under the window of the call's own time."""
    g = guard("user/hour:usd=0.15")
    admitted = ticket(g.admit(facts()))
    g.settle(admitted, usd("0.1"), 1, NOW)
    refused(g.admit(facts()))
    ticket(g.admit(facts(now=NOW + 3600)))
    refused(g.admit(facts(now=NOW)))


def test_ten_thousand_refusals_leave_nothing_behind() -> None:
    """A loop that retries against a used-up budget neither holds nor remembers anything."""
    g = guard("trace:usd=0.01", wait_seconds=10.0)
    for _ in range(10_000):
        refused(g.admit(facts()))
    assert (g.waiting, spent(g, "trace", "t1")) == (0, 0)


def test_amounts_beyond_all_reason_are_counted_as_the_most_there_is() -> None:
    """A broken price or count cannot break the ledger."""
    g = guard("trace:usd=1")
    levels = g.settle(ticket(g.admit(facts())), Decimal("1e40"), 10**40, NOW)
    assert levels[0].spent == 10**18
