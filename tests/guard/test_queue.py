"""Waiting for money that is only held: threads and tasks, first come first served, nothing lost on the way."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.guard import Guard, Refused, Ticket
from otel_agentcost.guard import guard as guard_module
from otel_agentcost.guard.ledger import open_ledger
from tests.guard.guards import NOW, facts, guard, refused, spent, ticket, usd
from tests.guard.ledger.calls import in_a_child
from tests.support.redis_server import Server

KINDS = ("memory", "sqlite", "redis")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One ledger of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_server")
        server.empty()
        return server.url
    return "memory://"


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


async def in_line(g: Guard, number: int) -> None:
    for _ in range(5000):
        if g.waiting == number:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{g.waiting} wait, not {number}")


async def nothing_held(g: Guard) -> None:
    for _ in range(1000):
        if spent(g, "trace", "t1") == 0:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{spent(g, 'trace', 't1')} are held")


async def one_task(g: Guard, chance: random.Random) -> Decimal | None:
    admitted = await g.admit_async(facts(100))
    if isinstance(admitted, Refused):
        return None
    await asyncio.sleep(chance.random() * 0.01)
    real = Decimal(chance.randint(50, 100)) / 1000
    g.settle(admitted, real, 100, NOW)
    assert spent(g, "trace", "t1") <= 10**10
    return real


async def test_a_burst_of_tasks_uses_a_budget_up_and_not_more(url: str) -> None:
    """400 tasks on a budget that fits a hundred: at least 90 % of it is used, and never is more spent and held."""
    g = guard("trace:usd=10", open_ledger(url), wait_seconds=30.0)
    chance = random.Random(7)
    costs = [cost for cost in await asyncio.gather(*(one_task(g, chance) for _ in range(400))) if cost is not None]
    assert Decimal(9) <= sum(costs) <= Decimal(10)
    assert spent(g, "trace", "t1") == sum(costs) * 10**9
    assert g.waiting == 0


def one_thread(g: Guard, seed: int) -> Decimal:
    chance = random.Random(seed)
    total = Decimal(0)
    for _ in range(12):
        admitted = g.admit(facts(100))
        if isinstance(admitted, Refused):
            continue
        time.sleep(chance.random() * 0.002)
        if chance.random() < 0.2:
            g.release(admitted, NOW)
            continue
        real = Decimal(chance.randint(1, 100)) / 1000
        total += real
        g.settle(admitted, real, 100, NOW)
        assert spent(g, "trace", "t1") <= 10**9
    return total


def test_threads_never_pass_the_limit(url: str) -> None:
    """Random costs, failures and waits: spent and held stays within, and the ledger ends with the real sum."""
    g = guard("trace:usd=1;user/day:usd=5", open_ledger(url), wait_seconds=5.0)
    with ThreadPoolExecutor(16) as pool:
        total = sum(pool.map(lambda seed: one_thread(g, seed), range(16)))
    assert spent(g, "trace", "t1") == spent(g, "user", "u1") == total * 10**9
    assert Decimal("0.85") < total <= 1
    assert g.waiting == 0


async def test_first_come_first_served() -> None:
    """Whoever waits longer is served first, also before a later one that would fit at once."""
    g = guard("trace:usd=0.25", wait_seconds=10.0)
    first = ticket(await g.admit_async(facts(200)))
    order: list[int] = []

    async def wait(number: int, output: int) -> None:
        admitted = ticket(await g.admit_async(facts(output)))
        order.append(number)
        await asyncio.sleep(0.001)
        g.settle(admitted, usd("0.001"), 1, NOW)

    tasks = [asyncio.create_task(wait(number, 150 if number % 2 == 0 else 20)) for number in range(6)]
    await in_line(g, 6)
    g.settle(first, usd("0.01"), 1, NOW)
    await asyncio.gather(*tasks)
    assert order == sorted(order)


def test_a_settled_call_wakes_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same process nobody waits for the next look."""
    monkeypatch.setattr(guard_module, "POLL", 5.0)
    g = guard("trace:usd=0.15", wait_seconds=10.0)
    first = ticket(g.admit(facts()))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(g.admit, facts())
        until(lambda: g.waiting == 1)
        time.sleep(0.02)
        g.settle(first, usd("0.01"), 1, NOW)
        assert ticket(waiting.result(1)).waited < 1
    assert g.waiting == 0


def test_another_process_that_settles_is_noticed(tmp_path: Path) -> None:
    """No wake-up comes from there; whoever is first in line looks now and then."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    here, there = (
        guard("trace:usd=0.15", open_ledger(url), wait_seconds=10.0),
        guard("trace:usd=0.15", open_ledger(url)),
    )
    first = ticket(there.admit(facts()))
    threading.Timer(0.1, there.settle, (first, usd("0.01"), 1, NOW)).start()
    assert 0.05 < ticket(here.admit(facts())).waited < 2


def test_waiting_ends_with_a_refusal() -> None:
    """After the time that the settings give, or at once when what was held was spent."""
    g = guard("trace:usd=0.15", wait_seconds=0.1)
    first = ticket(g.admit(facts()))
    started = time.monotonic()
    assert refused(g.admit(facts())).only_held
    assert 0.09 < time.monotonic() - started < 2
    g = guard("trace:usd=0.15", wait_seconds=10.0)
    first = ticket(g.admit(facts()))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(g.admit, facts())
        until(lambda: g.waiting == 1)
        g.settle(first, usd("0.1"), 1, NOW)
        assert not refused(waiting.result(1)).only_held


async def test_the_event_loop_runs_on_while_a_task_waits(url: str) -> None:
    """A ticking task is never held up by one that waits, whatever the ledger."""
    g = guard("trace:usd=0.15", open_ledger(url), wait_seconds=0.3)
    ticket(await g.admit_async(facts()))
    waiting = asyncio.create_task(g.admit_async(facts()))
    ticks = 0
    while not waiting.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert isinstance(await waiting, Refused)
    assert ticks > 20


async def test_a_cancelled_task_leaves_the_line_and_holds_nothing(url: str) -> None:
    """Wherever it was cancelled: in line, or while the ledger was asked in a thread."""
    g = guard("trace:usd=1.05", open_ledger(url), wait_seconds=10.0)
    chance = random.Random(3)
    for _ in range(15):
        tasks = [asyncio.create_task(g.admit_async(facts())) for _ in range(14)]
        await asyncio.sleep(chance.random() * 0.004)
        for task in tasks:
            task.cancel()
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(answer, Ticket):
                g.release(answer, NOW)
        await nothing_held(g)
        assert g.waiting == 0
    await asyncio.sleep(0.3)  # a thread may have been about to ask
    await nothing_held(g)


async def test_a_task_that_is_cancelled_just_after_the_ledger_answered_holds_nothing(tmp_path: Path) -> None:
    """The thread has reserved, and the loop has not heard of it yet."""
    g = guard("trace:usd=1", open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))
    task = asyncio.create_task(g.admit_async(facts()))
    await asyncio.sleep(0)
    until(lambda: spent(g, "trace", "t1") > 0)  # blocks the loop
    time.sleep(0.05)  # noqa: ASYNC251 (the same)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    for _ in range(500):
        if spent(g, "trace", "t1") == 0:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it is still held")


async def test_the_one_behind_a_cancelled_task_moves_up() -> None:
    """A place in line that is given up does not hold the others up."""
    g = guard("trace:usd=0.15", wait_seconds=10.0)
    first = ticket(await g.admit_async(facts()))
    leaving, staying = (asyncio.create_task(g.admit_async(facts(output))) for output in (140, 20))
    await in_line(g, 2)
    leaving.cancel()
    await asyncio.wait([leaving])
    g.settle(first, usd("0.1"), 1, NOW)
    assert ticket(await asyncio.wait_for(staying, 1)).reserved["nano_usd"] > 20_000_000


def test_another_kind_of_event_loop_does_not_wait() -> None:
    """Where no asyncio loop runs, a call is admitted or refused at once."""
    g = guard("trace:usd=0.15", wait_seconds=10.0)

    def drive() -> Ticket | Refused:
        coroutine = g.admit_async(facts())
        with pytest.raises(StopIteration) as end:
            coroutine.send(None)
        answer: Ticket | Refused = end.value.value
        return answer

    ticket(drive())
    assert refused(drive()).only_held


def test_after_a_fork_the_child_waits_behind_nobody() -> None:
    """Those in line are threads of the parent."""
    g = guard("trace:usd=0.15", wait_seconds=1.0)
    first = ticket(g.admit(facts()))
    waiter = threading.Thread(target=g.admit, args=(facts(),))
    waiter.start()
    until(lambda: g.waiting == 1)
    assert in_a_child(lambda: g.waiting == 0 and isinstance(g.admit(facts()), Ticket))
    g.settle(first, usd("0.1"), 1, NOW)
    waiter.join()
