"""A shared ledger that takes its time holds up no event loop, and leaves no spans of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from otel_agentcost import BudgetExceeded
from tests.budgets.scene import ASK, answering, async_client, budgeted
from tests.in_memory import Telemetry
from tests.ledger.conftest import redis_binary, redis_server
from tests.ledger.servers import Server
from tests.model_server import ModelServer

__all__ = ["redis_binary", "redis_server"]


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


def test_the_ledgers_own_calls_are_no_spans(
    telemetry: Telemetry, model_server: ModelServer, redis_server: Server
) -> None:
    """Where the application has redis-py instrumented, only its own commands are spans."""
    instrumentation = pytest.importorskip(
        "opentelemetry.instrumentation.redis", reason="opentelemetry-instrumentation-redis is not installed"
    )
    redis_server.empty()
    instrumentor = instrumentation.RedisInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.tracer_provider)
    try:
        asyncio.run(_two_calls(telemetry, model_server, redis_server.url))
    finally:
        instrumentor.uninstrument()
    assert {span.name for span in telemetry.spans} == {"chat gpt-4o-mini"}


async def _two_calls(telemetry: Telemetry, model_server: ModelServer, url: str) -> None:
    async with async_client(answering(model_server)) as openai:
        with budgeted(telemetry, budgets="total:calls=9", ledger=url, ledger_timeout="5"):
            for _ in range(2):
                await openai.chat.completions.create(**ASK)
