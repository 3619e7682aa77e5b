"""The ledger of one process."""

from __future__ import annotations

import pytest

from otel_agentcost.ledger.memory import MemoryLedger
from tests.ledger.calls import NOW, admitted, amounts, claim, in_a_child, stands
from tests.ledger.contract import LedgerContract


class TestMemory(LedgerContract):
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
    ledger = MemoryLedger()
    for i in range(100_000):
        now, trace = NOW + i, claim(f"trace={i}", until=NOW + i + 300, nano_usd=10)
        assert admitted(ledger, str(i), [trace, claim(f"total/{i // 1000}", until=now)], 5, now=now)
        if i % 10:
            ledger.settle(str(i), [trace], amounts(5), now=now + 0.5)
    assert len(ledger._accounts) < 1500
    assert len(ledger._holds) <= 7
    assert len(ledger._expiries) <= 100
    assert len(ledger._settled) <= 3600
