"""What happens to calls while the ledger does not answer, and to what they spend meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest

from otel_agentcost.core import budgets
from otel_agentcost.diagnostics import forget_causes
from otel_agentcost.guard import Guard, Policy, resilient_ledger
from otel_agentcost.guard.ledger import Amounts, Claim, LedgerError, Refusal, Standing
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.guard.guards import NOW, facts, guard, refused, spent, ticket, usd


class Moody(MemoryLedger):
    """A ledger in memory that can be unplugged."""

    def __init__(self) -> None:
        super().__init__()
        self.down: Exception | None = None
        self.asked = 0

    def _check(self) -> None:
        self.asked += 1
        if self.down is not None:
            raise self.down

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        self._check()
        return super().reserve(call_id, claims, amounts, now=now, lease=lease)

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        self._check()
        return super().settle(call_id, claims, amounts, now=now)

    def release(self, call_id: str, *, now: float) -> None:
        self._check()
        super().release(call_id, now=now)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def fresh_warnings() -> Iterator[None]:
    """Every test sees its own first warning."""
    forget_causes()
    yield
    forget_causes()


def moody(down: str = "allow") -> tuple[Guard, Moody, Clock]:
    ledger, clock = Moody(), Clock()
    policy = Policy(wait_seconds=0.0, ledger_down="refuse" if down == "refuse" else "allow")
    return Guard(budgets.parse("trace:usd=1"), ledger, policy, monotonic=clock), ledger, clock


@pytest.mark.parametrize("error", [LedgerError("it is unplugged."), OSError("disk full")])
def test_calls_go_on_and_one_warning_says_so(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """By default a ledger that fails stops no call; the ticket tells, and the log once."""
    g, ledger, clock = moody()
    ledger.down = error
    with caplog.at_level(logging.WARNING, "otel_agentcost"):
        for _ in range(5):
            assert ticket(g.admit(facts())).unenforced
            clock.now += 100
    assert len(caplog.records) == 1
    assert str(error).rstrip(".") in caplog.text
    assert "without budgets" in caplog.text


def test_calls_are_refused_where_the_setting_says_so() -> None:
    """With a sentence about the ledger; calls under no budget go on."""
    g, ledger, _ = moody("refuse")
    ledger.down = LedgerError("it is unplugged.")
    error = refused(g.admit(facts())).error
    assert error.spent is None
    assert "ledger does not answer" in str(error)
    warns = guard("trace:usd=1,on_exceed=warn", ledger, ledger_down="refuse")
    assert ticket(warns.admit(facts())).unenforced


def test_a_ledger_that_failed_is_left_alone_for_a_while() -> None:
    """Calls do not wait for a time-out each: one in a while tries, at growing distances."""
    g, ledger, clock = moody()
    ledger.down = LedgerError("it is unplugged.")
    for _ in range(1000):
        ticket(g.admit(facts()))
        clock.now += 0.1
    assert ledger.asked < 12
    ledger.down = None
    clock.now += resilient_ledger.LONGEST_PAUSE
    assert ticket(g.admit(facts())).unenforced is None
    assert ticket(g.admit(facts())).unenforced is None


def test_what_was_settled_meanwhile_is_not_lost() -> None:
    """It is settled when the ledger answers again, each call once."""
    g, ledger, clock = moody()
    held = ticket(g.admit(facts()))
    ledger.down = LedgerError("it is unplugged.")
    free = ticket(g.admit(facts()))
    for each in (held, free):
        assert g.settle(each, usd("0.05"), 1, NOW) == ()
        assert g.settle(each, usd("0.05"), 1, NOW) == ()
    assert g.ledger.unsettled == 2
    ledger.down = None
    clock.now += resilient_ledger.LONGEST_PAUSE
    g.release(ticket(g.admit(facts())), NOW)
    assert g.ledger.unsettled == 0
    assert spent(g, "trace", "t1") == 100_000_000


def test_what_is_kept_is_bounded_and_the_loss_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is down for a day does not fill the memory."""
    monkeypatch.setattr(resilient_ledger, "UNSETTLED_AT_MOST", 10)
    g, ledger, _ = moody()
    ledger.down = LedgerError("it is unplugged.")
    for _ in range(25):
        g.settle(ticket(g.admit(facts())), usd("0.05"), 1, NOW)
    assert (g.ledger.unsettled, g.ledger.lost) == (10, 15)


def test_a_release_that_fails_harms_nothing() -> None:
    """The hold ends with its lease."""
    g, ledger, clock = moody()
    admitted = ticket(g.admit(facts()))
    ledger.down = LedgerError("it is unplugged.")
    g.release(admitted, NOW)
    ledger.down = None
    clock.now += 100
    later = NOW + g.policy.lease + 1
    ticket(g.admit(facts(now=later)))
    assert spent(g, "trace", "t1", later) < 110_000_000


class Slow(Moody):
    """A ledger that does what it is asked, and whose answers are lost on the way."""

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        refusal = MemoryLedger.reserve(self, call_id, claims, amounts, now=now, lease=lease)
        self._check()
        return refusal


@pytest.mark.parametrize("down", ["allow", "refuse"])
def test_what_a_ledger_holds_whose_answer_was_lost_is_released_when_it_answers_again(down: str) -> None:
    """Else the budget would be smaller by it until its lease ends; what the call spent counts all the same."""
    ledger, clock = Slow(), Clock()
    policy = Policy(wait_seconds=0.0, ledger_down="refuse" if down == "refuse" else "allow")
    g = Guard(budgets.parse("trace:usd=1"), ledger, policy, monotonic=clock)
    ledger.down = LedgerError("time-out.")
    lost = g.admit(facts())
    assert spent(g, "trace", "t1") > 0
    ledger.down = None
    clock.now += resilient_ledger.LONGEST_PAUSE
    g.release(ticket(g.admit(facts())), NOW)
    assert spent(g, "trace", "t1") == 0
    if down == "allow":
        g.settle(ticket(lost), usd("0.25"), 10, NOW)
        assert spent(g, "trace", "t1") == 250_000_000


def test_a_release_that_the_ledger_did_not_hear_is_said_again() -> None:
    """A moment of silence does not make a budget smaller for as long as a lease."""
    g, ledger, clock = moody()
    held = ticket(g.admit(facts()))
    ledger.down = LedgerError("it is unplugged.")
    g.release(held, NOW)
    assert spent(g, "trace", "t1") > 0
    ledger.down = None
    clock.now += resilient_ledger.LONGEST_PAUSE
    g.release(ticket(g.admit(facts())), NOW)
    assert spent(g, "trace", "t1") == 0
