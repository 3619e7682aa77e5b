"""Rolling windows on the guard: with ledgers that know them, and with one that does not."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import get_meter
from opentelemetry.trace import INVALID_SPAN

from otel_agentcost.cli import main
from otel_agentcost.core import budgets, money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.guard import Guard, Ticket, allowances
from otel_agentcost.guard.ledger import Ledger, open_ledger
from otel_agentcost.guard.opening import counted_in_fixed_windows, opened
from otel_agentcost.telemetry.budget_events import BudgetReports
from tests.guard.guards import facts, guard, refused, ticket
from tests.guard.ledger.rolling_contract import within
from tests.guard.ledger.toy_ledger import ToyLedger

HOUR, DAY = 3600.0, 86_400.0
MIDNIGHT = datetime(2026, 11, 30, tzinfo=timezone.utc).timestamp()


def unaware() -> Ledger:
    """A ledger of another distribution."""
    return opened(cast("Ledger", ToyLedger()), 1.0)


def price(usage: Usage, _model: str | None) -> Cost:
    """A tenth of a cent for each token of output: what is held is then known without looking at the input."""
    return Cost(usd=Decimal("0.001") * usage.output_tokens)


def spend(limited: Guard, output: int, now: float, **scopes: str) -> bool:
    """A call that costs what it may cost. Returns False if it is refused."""
    answer = limited.admit(replace(facts(output, now=now, **scopes), price=price))
    if isinstance(answer, Ticket):
        limited.settle(answer, money.from_nano(answer.reserved["nano_usd"]), 1, now)
    return isinstance(answer, Ticket)


def test_room_comes_back_as_spend_gets_older() -> None:
    """Not at midnight, but when the hours in which it was spent are a day old."""
    limited = guard("user/24h:usd=1")
    assert spend(limited, 600, MIDNIGHT + 20.5 * HOUR)
    assert spend(limited, 400, MIDNIGHT + 22.5 * HOUR)
    assert not spend(limited, 1, MIDNIGHT + 25 * HOUR)
    assert not spend(limited, 1, MIDNIGHT + 45 * HOUR - 1)
    assert spend(limited, 600, MIDNIGHT + 45 * HOUR)
    assert not spend(limited, 1, MIDNIGHT + 45 * HOUR)
    assert spend(limited, 1, MIDNIGHT + 47 * HOUR)


def test_a_refusal_says_when_enough_is_free_again() -> None:
    """The time, if it is known; else that spend is freed as it gets older."""
    limited = guard("user/24h:usd=1")
    assert spend(limited, 900, MIDNIGHT + 20.5 * HOUR)
    error = refused(limited.admit(facts(200, now=MIDNIGHT + 22 * HOUR))).error
    assert error.free_at == datetime(2026, 12, 1, 21, tzinfo=timezone.utc)
    assert error.rolling
    assert str(error).endswith(" Enough is free again at 2026-12-01 21:00 UTC, as spend gets older.")
    error = refused(limited.admit(facts(2000, now=MIDNIGHT + 22 * HOUR))).error
    assert error.free_at is None
    assert str(error).endswith(" Its window is a rolling one: spend is freed as it gets older.")
    error = refused(guard("user/day:usd=1").admit(facts(2000))).error
    assert (error.rolling, "freed" in str(error)) == (False, False)


def test_a_process_is_not_forgotten_within_its_window() -> None:
    """Unlike the account of a process without a window, which may be dropped when it is not used."""
    (each,) = guard("process/24h:usd=1").counted(facts(process="p1"), "big", MIDNIGHT)
    assert (each.claim.key, each.claim.passing, each.claim.rolling) == ("process/24h/p1", False, 86_400)
    assert each.claim.until is not None
    assert each.claim.until >= MIDNIGHT + DAY + HOUR


def test_an_allowance_has_no_end_of_its_window() -> None:
    """But it says that the window is a rolling one."""
    limited = guard("user/24h:usd=1;user/week:usd=5")
    assert spend(limited, 600, MIDNIGHT)
    for now, left in ((MIDNIGHT + DAY, "0.4"), (MIDNIGHT + DAY + HOUR, "1")):
        rolling, week = allowances.of_ledger(limited.budgets, limited.ledger.wrapped, now, timezone.utc)
        assert (rolling.left, rolling.resets_at, rolling.rolling) == (Decimal(left), None, 86_400)
        assert (week.left, week.rolling) == (Decimal("4.4"), None)
        assert week.resets_at == datetime(2026, 12, 7, tzinfo=timezone.utc)


# --- A ledger that does not know them ---------------------------------------------------------------------------------


def test_a_ledger_that_does_not_know_them_is_told_of() -> None:
    """In one sentence, if a budget needs it."""
    rules = budgets.parse("user/24h:usd=1;user/day:usd=1;total/7d:calls=5")
    said = counted_in_fixed_windows(rules, unaware())
    assert said is not None
    assert said.startswith("The ledger does not know rolling windows, so user/24h:usd=1; total/7d:calls=5 is counted")
    assert counted_in_fixed_windows(rules[1:2], unaware()) is None
    assert counted_in_fixed_windows(rules, guard("user/24h:usd=1").ledger.wrapped) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2 * DAY).map(round), st.integers(1, 1000)), max_size=40))
def test_with_such_a_ledger_no_window_has_more_than_the_limit(steps: Sequence[tuple[int, int]]) -> None:
    """And after two windows all room is back."""
    limited, now, times = guard("user/24h:usd=1", unaware()), MIDNIGHT, list[tuple[float, int]]()
    for passed, output in steps:
        now += passed
        before = within(times, now, 2 * DAY)
        if spend(limited, output, now):
            times.append((now, output))
        else:
            assert before + output > 1000  # no call is refused that two windows have room for
    assert all(within(times, at, DAY) <= 1000 for at, _ in times)
    assert spend(limited, 1000, now + 2 * DAY)


def test_such_a_ledger_counts_and_tells_once() -> None:
    """A call is one call, its level is reported once, and an allowance shows what is left."""
    limited = guard("user/24h:usd=1,calls=5", unaware())
    answer = ticket(limited.admit(replace(facts(500, now=MIDNIGHT), price=price)))
    levels = limited.settle(answer, Decimal("0.5"), 1, MIDNIGHT)
    assert [(level.unit, level.spent, level.limit) for level in levels] == [
        ("nano_usd", 5 * 10**8, 10**9),
        ("calls", 1, 5),
    ]
    ledger = limited.ledger.wrapped
    for after, left in ((0.0, "0.5"), (DAY, "0.5"), (2 * DAY, "1")):
        rules = allowances.applying(limited.budgets, {"user": "u1"})
        standing = lambda key, at=MIDNIGHT + after: ledger.standing(key, now=at)  # noqa: E731
        dollars, _ = allowances.of(rules, standing, MIDNIGHT + after, timezone.utc, rolling=False)
        assert (dollars.left, dollars.resets_at, dollars.rolling) == (Decimal(left), None, 86_400)


@pytest.mark.parametrize("ledger", [None, unaware()], ids=["memory", "unaware"])
def test_a_budget_that_only_warns_has_no_limit_in_the_ledger(ledger: Ledger | None) -> None:
    """Nor its second claim, which a ledger that knows no rolling windows gets."""
    counted = guard("user/24h:usd=1,on_exceed=warn", ledger).counted(facts(), "big", MIDNIGHT)
    assert {tuple(each.claim.limits) for each in counted} == {()}


# --- Its cost, and its messages ---------------------------------------------------------------------------------------


class Instructions:
    """A trace function that counts the instructions of bytecode."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Instructions:
        frame.f_trace_opcodes = True
        self.count += event == "opcode"
        return self


def instructions(rules: str) -> int:
    """What a reservation in memory takes, after calls in all slices of a window, and in the last one."""
    limited = guard(rules)
    claims = [each.claim for each in limited.counted(facts(), "big", MIDNIGHT)]
    ledger, counted = limited.ledger.wrapped, Instructions()
    for number in range(60):
        ledger.settle(str(number), claims, {"nano_usd": 1}, now=MIDNIGHT + number * HOUR)
    before = sys.gettrace()
    sys.settrace(counted)
    try:
        ledger.reserve("next", claims, {"nano_usd": 1}, now=MIDNIGHT + 59.5 * HOUR, lease=60)
    finally:
        sys.settrace(before)
    return counted.count


def test_a_reservation_costs_little_more() -> None:
    """At most 30 % more instructions than with windows of the calendar."""
    assert instructions("user/24h:usd=1;total/7d:usd=9") <= 1.3 * instructions("user/day:usd=1;total/month:usd=9")


def test_a_soft_limit_is_told_once_in_a_window(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Spend falls and rises again with each hour that gets old; a calendar's window ends, so it has no such memory."""
    reports = BudgetReports(get_meter("test"))
    rolling, day = budgets.parse("user/24h:usd=1;user/day:usd=1")
    told: list[int] = []
    for hours in (0, 1, 23, 24, 25, 49):
        monkeypatch.setattr(time, "time", lambda at=MIDNIGHT + hours * HOUR: at)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "otel_agentcost"):
            reports.level(INVALID_SPAN, rolling, "u1", "nano_usd", 8 * 10**8, 10**9, "soft")
            told.append(len(caplog.records))
            reports.level(INVALID_SPAN, rolling, "u2", "nano_usd", 10**9, 10**9, "limit")
            reports.level(INVALID_SPAN, day, "u1", "nano_usd", 8 * 10**8, 10**9, "soft")
        assert len(caplog.records) == 1 + 2 * told[-1]
    assert told == [1, 0, 0, 1, 0, 1]


def test_the_commands_say_that_it_rolls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`agentcost budgets` has what counts now, and no time of a reset; the doctor has it in words."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", url)
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", "user/24h:usd=1;user/week:usd=5")
    ledger, now = open_ledger(url), time.time()
    old = Guard(budgets.parse("user/24h:usd=1"), ledger)
    assert spend(old, 300, now - 2 * DAY)
    assert spend(old, 200, now - 5 * HOUR)
    ledger.close()
    assert main(["budgets", "--format", "json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["spent"], shown["left"], shown["resets_at"], shown["rolling_seconds"]) == (0.2, 0.8, None, 86_400)
    assert main(["budgets"]) == 0
    assert "as it gets older" in capsys.readouterr().out
    main(["doctor", "--no-imports"])
    said = capsys.readouterr().out
    assert "each user, in any 24h: $1.00; a call over it is blocked; spend is freed as it gets older" in said
    assert "each user, per week (UTC): $5.00" in said
