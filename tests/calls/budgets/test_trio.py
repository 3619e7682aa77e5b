"""Calls under trio, and under anyio on each of its backends, wait for reserved money as under asyncio."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import trio
from openai import AsyncOpenAI

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import ASK, budgeted
from tests.support.foreign_spans import call as foreign_call
from tests.support.foreign_spans import span_of
from tests.support.in_memory import Telemetry
from tests.support.replies import chat

LONG: dict[str, Any] = {**ASK, "max_tokens": 200}
"""A call that reserves $0.00012 for its output, and costs $0.000045."""
ONE_AT_A_TIME = "process:usd=0.0002"
"""Fits one real call and the worst case of another."""


def in_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    return trio.run(main)


def in_anyio_on_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(main, backend="trio")


def in_anyio_on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(main, backend="asyncio")


EVERY_LOOP = pytest.mark.parametrize("run", [in_trio, in_anyio_on_trio, in_anyio_on_asyncio])


def slow_client(seconds: float = 0.05) -> AsyncOpenAI:
    """A client whose calls take a while and succeed."""

    async def handle(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep(seconds)
        return httpx2.Response(200, json=chat())

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handle))
    return AsyncOpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=http)


async def at_once(number: int, openai: AsyncOpenAI) -> tuple[int, list[BudgetExceeded]]:
    """So many calls at the same time: how many were made, and the refusals."""
    made: list[None] = []
    refused: list[BudgetExceeded] = []

    async def one() -> None:
        try:
            await openai.chat.completions.create(**LONG)
            made.append(None)
        except BudgetExceeded as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(one)
    return len(made), refused


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger that answers at once, and one that is asked in threads."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'ledger.db'}"


@EVERY_LOOP
@pytest.mark.parametrize("breakers", ["", "total:refusals=100/1m,open=1m"])
def test_concurrent_calls_are_not_refused_for_money_that_is_only_held(
    run: Callable[[Any], Any], ledger: str, breakers: str, telemetry: Telemetry
) -> None:
    """Four calls that fit one after the other are all made."""

    async def main() -> tuple[int, list[BudgetExceeded]]:
        async with slow_client() as openai:
            return await at_once(4, openai)

    settings: dict[str, Any] = {"breakers": breakers} if breakers else {}
    with budgeted(telemetry, budgets="process:usd=0.0003", wait_seconds=5, ledger=ledger, **settings):
        assert run(main) == (4, [])


@EVERY_LOOP
def test_a_budget_is_not_passed_by_concurrent_calls(
    run: Callable[[Any], Any], ledger: str, telemetry: Telemetry
) -> None:
    """Of twenty calls at once, as many are made as fit: none goes unguarded because its event loop is another one."""

    async def main() -> tuple[int, list[BudgetExceeded]]:
        async with slow_client(0.01) as openai:
            return await at_once(20, openai)

    rules = "total:calls=3"
    with budgeted(telemetry, budgets=rules, wait_seconds=5, ledger=ledger, breakers="total:refusals=100/1m,open=1m"):
        made, refused = run(main)
    assert (made, len(refused)) == (3, 17)


def test_waiting_does_not_stop_the_event_loop_of_trio(ledger: str, telemetry: Telemetry) -> None:
    """Another task goes on while calls wait, and while a ledger that takes its time is asked."""
    ticks = 0

    async def main() -> None:
        nonlocal ticks
        async with slow_client(0.3) as openai, trio.open_nursery() as nursery:

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await trio.sleep(0.01)
                    ticks += 1

            nursery.start_soon(tick)
            made, _ = await at_once(2, openai)
            assert made == 2
            nursery.cancel_scope.cancel()

    with budgeted(telemetry, budgets=ONE_AT_A_TIME, wait_seconds=5, ledger=ledger):
        trio.run(main)
    assert ticks > 20


def test_a_cancelled_task_of_trio_leaves_the_queue_and_holds_nothing(ledger: str, telemetry: Telemetry) -> None:
    """A call that is cancelled while it waits gives up its place: the next one is made, and nothing stays reserved."""

    async def main() -> None:
        async with slow_client(0.2) as openai:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(openai.chat.completions.create, **LONG))
                await trio.sleep(0.05)
                with trio.move_on_after(0.05) as scope:
                    await openai.chat.completions.create(**LONG)
                assert scope.cancelled_caught
            await openai.chat.completions.create(**LONG)

    with budgeted(telemetry, budgets=ONE_AT_A_TIME, wait_seconds=5, ledger=ledger):
        trio.run(main)


def test_a_call_that_waits_in_vain_is_refused_after_its_time(telemetry: Telemetry) -> None:
    """The wait ends under trio, too."""

    async def main() -> float:
        started = time.monotonic()
        async with slow_client(0.5) as openai:
            made, refused = await at_once(2, openai)
        assert made == len(refused) == 1
        return time.monotonic() - started

    with budgeted(telemetry, budgets=ONE_AT_A_TIME, wait_seconds=0.1):
        assert trio.run(main) < 2


def test_a_call_of_another_instrumentation_does_not_stop_the_event_loop_of_trio(telemetry: Telemetry) -> None:
    """A span processor cannot await: such a call is refused at once, as in an event loop of asyncio."""

    async def main() -> float:
        started = time.monotonic()
        with span_of(telemetry), pytest.raises(BudgetExceeded):
            foreign_call(telemetry)
        return time.monotonic() - started

    with budgeted(telemetry, budgets="total:calls=1", wait_seconds=5):
        assert trio.run(main) < 1
