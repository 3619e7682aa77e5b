"""The ledger of one process."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace

import pytest

from otel_agentcost.guard.ledger import memory
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.calls.storm import TimeLimit
from tests.calls.test_interrupted_anywhere import Interruption
from tests.guard.ledger.batches_contract import BatchesContract
from tests.guard.ledger.calls import NOW, admitted, amounts, claim, in_a_child, stands
from tests.guard.ledger.contract import LedgerContract
from tests.guard.ledger.rolling_contract import START, WIDTH, WINDOW, RollingContract, rolling
from tests.support.memory import objects


class TestMemory(LedgerContract, RollingContract, BatchesContract):
    """In dictionaries."""

    @pytest.fixture
    def url(self) -> str:
        return "memory://"


def test_a_forked_child_keeps_what_is_spent_and_drops_what_is_held() -> None:
    """A child cannot spend its parent's money again, and is not held up by its parent's calls."""
    ledger, budget = MemoryLedger(), claim(nano_usd=100)
    ledger.settle("a", [budget], amounts(40), now=NOW)
    assert admitted(ledger, "b", [budget], 60)
    assert in_a_child(lambda: ledger.standing(budget.key, now=NOW) == stands(spent=amounts(40)))
    assert ledger.standing(budget.key, now=NOW) == stands(spent=amounts(40), held=amounts(60))


def test_memory_is_bounded() -> None:
    """A hundred thousand traces later, lost calls among them, there is what the last minutes need and no more."""
    ledger, sizes = MemoryLedger(), dict[int, int]()
    for i in range(100_000):
        now, trace = NOW + i, claim(f"trace={i}", until=NOW + i + 300, nano_usd=10)
        assert admitted(ledger, str(i), [trace, claim(f"total/{i // 1000}", until=now)], 5, now=now)
        if i % 10:
            ledger.settle(str(i), [trace], amounts(5), now=now + 0.5)
        if i in {10_000, 99_999}:
            sizes[i] = objects(ledger)
    assert sizes[99_999] < 1.1 * sizes[10_000] < 15_000


def test_traces_that_never_end_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsampled traces, whose end nobody sees: the longest unused are forgotten, one with a call in flight is not."""
    monkeypatch.setattr(memory, "PASSING_AT_MOST", 100)
    ledger, user = MemoryLedger(), claim("user/all/u1")
    busy = replace(claim("trace/all/busy", nano_usd=10), passing=True)
    assert admitted(ledger, "busy", [busy], 5)
    for i in range(1000):
        trace = replace(claim(f"trace/all/{i}", nano_usd=10), passing=True)
        assert admitted(ledger, str(i), [trace, user], 5)
        ledger.settle(str(i), [trace, user], amounts(5), now=NOW)
    kept = [i for i in range(1000) if ledger.standing(f"trace/all/{i}", now=NOW).spent["nano_usd"]]
    assert kept == list(range(1000 - len(kept), 1000))
    assert 98 <= len(kept) <= 100
    assert not admitted(ledger, "another", [busy], 6)
    assert ledger.standing(user.key, now=NOW).spent["nano_usd"] == 5000
    assert ledger.standing("trace/all/999", now=NOW).spent["nano_usd"] == 5


def test_traces_that_have_ended_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they have left behind may still spend in them; of a hundred more, the oldest are forgotten."""
    monkeypatch.setattr(memory, "ENDED_AT_MOST", 10)
    ledger, busy = MemoryLedger(), replace(claim("trace/all/busy", nano_usd=10), passing=True)
    assert admitted(ledger, "busy", [busy], 5)
    ledger.ended(busy.key)
    for i in range(100):
        trace = replace(claim(f"trace/all/{i}", nano_usd=10), passing=True)
        ledger.settle(str(i), [trace], amounts(8), now=NOW)
        ledger.ended(trace.key)
        assert not admitted(ledger, f"late {i}", [trace], 5)
    kept = [i for i in range(100) if ledger.standing(f"trace/all/{i}", now=NOW).spent["nano_usd"]]
    assert kept == list(range(100 - len(kept), 100))
    assert 8 <= len(kept) <= 12
    assert not admitted(ledger, "more", [busy], 6)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 checks for signals at other places")
@pytest.mark.parametrize("reserved", [True, False])
@pytest.mark.parametrize("cost", [7, -7])
def test_a_settlement_that_is_interrupted_anywhere_counts_once(cost: int, reserved: bool) -> None:
    """The exception of a signal handler arrives at each place; repeated, the settlement is exact in each account."""
    at, claims = 1, [claim(nano_usd=100), rolling()]
    for number in range(1, 1000):
        at = max(1, number - 1)  # the first time twice: Python 3.12 reports instructions from the second trace on
        ledger, interruption = MemoryLedger(), Interruption(at)
        for before_it, seconds in enumerate((0, 150, WINDOW - 50)):
            ledger.settle(f"before {before_it}", claims, amounts(10, 20, 1, 1), now=START + seconds)
        assert not reserved or admitted(ledger, "a", claims, 50, now=START + WINDOW)
        now, before = START + WINDOW + WIDTH, sys.gettrace()  # the first slice is old
        sys.settrace(interruption)
        with suppress(TimeLimit):
            ledger.settle("a", claims, amounts(cost, 2 * cost), now=now)
        sys.settrace(before)
        ledger.settle("a", claims, amounts(cost, 2 * cost), now=now)
        assert ledger.standing(claims[0].key, now=now) == stands(spent=amounts(30 + cost, 60 + 2 * cost, 3, 3))
        assert ledger.standing(claims[1].key, now=now) == stands(spent=amounts(20 + cost, 40 + 2 * cost, 2, 2))
        if interruption.where is None and number > 1:
            break
    assert at > 30
