"""A process that uses a ledger: `python -m tests.guard.ledger.worker <url> <task> <name>`. It prints what it did."""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import replace

from otel_agentcost.core.batch import batch_verbs
from otel_agentcost.core.notes import keeps_notes
from otel_agentcost.guard.ledger import Ledger, open_ledger
from tests.guard.ledger.calls import NOW, admitted, amounts, claim

BUDGET = claim("shared", nano_usd=20_000)
ROLLING = replace(claim("shared/20m", nano_usd=3_000), rolling=1200)
SPEED = 600
"""Seconds of the clock of `roll` in each real one: a window lasts two."""


def race(ledger: Ledger, name: str) -> None:
    """Calls of random cost, some of them cancelled; prints the sum of what it settled, and how many were refused."""
    draw, taken, refused = random.Random(name), 0, 0
    for i in range(60):
        call_id = f"{name}-{i}"
        if not admitted(ledger, call_id, [BUDGET, claim(f"user={name}", nano_usd=10**9)], 100):
            refused += 1
        elif draw.random() < 0.1:
            ledger.release(call_id, now=NOW)
        else:
            cost = draw.randint(20, 100)
            taken += cost
            for _, standing in ledger.settle(call_id, [BUDGET], amounts(cost), now=NOW):
                assert standing.spent["nano_usd"] + standing.held["nano_usd"] <= 20_000
            if draw.random() < 0.2:
                ledger.settle(call_id, [BUDGET], amounts(cost), now=NOW)
    print(taken, refused)


def hold(ledger: Ledger, name: str) -> None:
    """Settles one call, reserves another, says so, and never comes back."""
    ledger.settle("settled", [BUDGET], amounts(300), now=NOW)
    assert admitted(ledger, name, [BUDGET], 200)
    print("held", flush=True)
    time.sleep(60)


def endless(ledger: Ledger, name: str) -> None:
    """Settles calls of 1 until it is killed; prints a line after each."""
    for i in range(10**9):
        admitted(ledger, f"{name}-{i}", [BUDGET], 1)
        ledger.settle(f"{name}-{i}", [BUDGET], amounts(1), now=NOW)
        print(i, flush=True)


def lines(ledger: Ledger, name: str) -> None:
    """Reads the thousand lines of a batch and closes it; prints how many lines it counted, and if it closed it."""
    batches, taken = batch_verbs(ledger), 0
    for start in range(0, 1000, 50):
        found = {f"line {number}": amounts(1) for number in range(start, start + 50)}
        taken += len(batches.count_lines("openai batch_1", [BUDGET], found, now=NOW).lines)
    print(json.dumps([taken, batches.close_batch("openai batch_1", now=NOW)]))


def roll(ledger: Ledger, name: str) -> None:
    """Spends what it gets of a rolling window, for three windows; prints when, and how late a verb came at most."""
    name, begins = name.split()
    spent, late, number = list[tuple[float, int]](), 0.0, 0
    ledger.settle(f"{name} is ready", [claim("ready")], amounts(calls=1), now=NOW)
    while ledger.standing("ready", now=NOW).spent["calls"] < 3:
        time.sleep(0.01)
    ends = time.time() + 6.0
    while time.time() < ends:
        asked = time.time()
        now = NOW + (asked - float(begins)) * SPEED
        if admitted(ledger, f"{name}{number}", [ROLLING], 100, now=now):
            settled = time.time()
            ledger.settle(f"{name}{number}", [ROLLING], amounts(90), now=NOW + (settled - float(begins)) * SPEED)
            spent.append((NOW + (settled - float(begins)) * SPEED, 90))
            number += 1
        late = max(late, time.time() - asked)
        time.sleep(0.005)
    print(json.dumps({"spent": spent, "late": late}))


def notes(ledger: Ledger, name: str) -> None:
    """Takes each of a hundred notes that it finds; prints how many it got."""
    assert keeps_notes(ledger), name
    print(sum(ledger.swap_note(f"note {i}", "mine", None, now=NOW, until=NOW) for i in range(100)))


if __name__ == "__main__":
    url, task, name = sys.argv[1:]
    tasks = {"race": race, "hold": hold, "endless": endless, "lines": lines, "roll": roll, "notes": notes}
    tasks[task](open_ledger(url), name)
