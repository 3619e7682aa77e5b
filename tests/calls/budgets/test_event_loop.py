"""A shared ledger that takes its time holds up no event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import ASK, answering, async_client, budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


async def test_a_settlement_that_takes_long_does_not_stop_the_loop(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """Another process has the file locked when a call ends: the loop goes on, and the call is settled afterwards."""
    file = tmp_path / "ledger.db"
    answered = threading.Event()

    def lock() -> None:
        answered.wait()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.5)
        other.execute("COMMIT")
        other.close()

    async with async_client(answering(model_server)) as openai:
        with budgeted(telemetry, budgets="total:calls=2", ledger=f"sqlite:///{file}"):
            locking = threading.Thread(target=lock)
            locking.start()
            create = openai.chat.completions.create
            stream = await create(**ASK, stream=True)
            answered.set()
            await asyncio.sleep(0.1)
            started = time.perf_counter()
            await stream.close()
            assert time.perf_counter() - started < 0.2
            locking.join()
            await create(**ASK)
            with pytest.raises(BudgetExceeded):
                await create(**ASK)


async def test_a_tool_does_not_stop_the_loop_for_the_ledger(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """Another process has the file locked when a tool's call ends: the loop goes on, and the call counts afterwards."""
    file = tmp_path / "ledger.db"

    @otel_agentcost.tool
    async def search() -> None:
        pass

    def unlock() -> None:
        time.sleep(0.5)
        other.execute("COMMIT")

    async with async_client(answering(model_server)) as openai:
        with budgeted(telemetry, budgets="total:tool_calls=1", ledger=f"sqlite:///{file}"):
            await openai.chat.completions.create(**ASK)
            other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            unlocking = threading.Thread(target=unlock)
            unlocking.start()
            started = time.perf_counter()
            await search()
            await search()
            assert time.perf_counter() - started < 0.2
            unlocking.join()
            await asyncio.sleep(0.3)
            with pytest.raises(BudgetExceeded):
                await openai.chat.completions.create(**ASK)
    other.close()
