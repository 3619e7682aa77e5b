"""Never overspent, on the guard: thousands of calls at once, each ledger, with witnesses that see every state."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from otel_agentcost.guard.ledger import Claim, Ledger, open_ledger
from tests.overspend import guard_load, load
from tests.overspend.guard_load import Storm
from tests.overspend.load import EDGE, Figures

CALLS = {"memory": 50, "sqlite": 10, "redis": 12}
"""Calls of each of 64 threads. SQLite and Redis take fifty times as long for one, and as many are not needed."""


@contextmanager
def stormy(what: str, url: str, kind: str, seed: int, calls: int) -> Generator[Storm, None, None]:
    """A storm under the eyes of witnesses; after it, the ledger must be what the calls have taken, and no more."""
    rules = guard_load.rules(calls)
    ledger: Ledger = open_ledger(url, timeout=5)
    raging = Storm(ledger, rules, seed, what, wait=(2.0, 0.0)[seed % 2 == 1])
    began = time.monotonic()
    limits = load.limits_of(rules)
    with load.watched(ledger, url, limits, lambda: EDGE) as witness:
        witness.keys |= {"trace/all/t0", "tenant/all/o0", "total/2099-12-31/", "total/2100-01-01/"}
        yield raging
    figures = Figures(what=f"guard, {what}", ledger=kind, seed=seed, calls=raging.calls)
    figures.admitted, figures.refused = raging.admitted, raging.refused
    figures.looks, figures.overshoot = witness.looks, witness.overshoot
    check(raging, ledger, limits, figures)
    figures.seconds = time.monotonic() - began
    load.ALL.append(figures)
    ledger.close()


def check(raging: Storm, ledger: Ledger, limits: load.Limits, figures: Figures) -> None:
    """What the ledger must say when all is over."""
    keys = {key for key, _ in raging.spent}
    assert {key.split("/")[1] for key in keys if key.startswith("total")} == {"2099-12-31", "2100-01-01"}
    load.agrees(ledger, raging.spent, EDGE)
    figures.used = load.used(raging.spent, limits)
    # Without waiting, calls are refused for money that is only held, and it is left over in the end.
    assert figures.used > (0.8 if raging.guard.policy.wait_seconds else 0.4)
    assert figures.overshoot == 0
    assert figures.looks > figures.admitted / 20
    assert figures.admitted > 50
    assert figures.refused > 50
    assert raging.guard.waiting == 0
    assert raging.guard.ledger.unsettled == 0


def test_threads_never_overspend(url: str, kind: str, seed: int) -> None:
    """64 threads with random costs, failures, retries and repeated settlements."""
    with stormy("64 threads", url, kind, seed, 64 * CALLS[kind]) as raging:
        raging.threads(64, CALLS[kind])


async def test_tasks_never_overspend(url: str, kind: str, seed: int) -> None:
    """1,000 tasks, one in eight of them cancelled in line, while the ledger is asked, or during its call."""
    each = 3 if kind == "memory" else 1
    with stormy("1,000 tasks", url, kind, seed, 1000 * each) as raging:
        await raging.tasks(1000, each)


def test_the_witnesses_see_what_passes_a_limit(url: str, kind: str) -> None:
    """Were there such a state, they would have seen it: money that is gone can be more than the limit."""
    ledger = open_ledger(url, timeout=5)
    claim = Claim(key="total/all/", limits={"nano_usd": 100}, until=None)
    with load.watched(ledger, url, {"total": {"nano_usd": 100}}, lambda: EDGE) as witness:
        witness.keys.add("total/all/")
        assert ledger.reserve("a", [claim], {"nano_usd": 60}, now=EDGE, lease=60) is None
        ledger.settle("b", [claim], {"nano_usd": 47}, now=EDGE)
        looks = witness.looks
        if kind == "redis":  # nobody but the thread looks
            until(lambda: witness.looks > looks + 1)
        ledger.settle("c", [claim], {"nano_usd": -40}, now=EDGE)
    assert witness.overshoot == 7
    ledger.close()


def until(condition: Callable[[], bool]) -> None:
    """Waits for it, at most five seconds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
