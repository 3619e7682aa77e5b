"""A ledger that takes its time is asked in threads of the guard's own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from otel_agentcost.guard import Refused, Ticket
from otel_agentcost.guard.ledger import open_ledger
from tests.guard.guards import facts, guard


async def test_a_call_is_admitted_while_all_threads_of_the_loop_wait_for_it(tmp_path: Path) -> None:
    """Tools that run in threads and have the loop make their calls (as frameworks do) are no deadlock."""
    g = guard("total:calls=10", open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(2) as threads:
        loop.set_default_executor(threads)

        def tool() -> Ticket | Refused:
            return asyncio.run_coroutine_threadsafe(g.admit_async(facts()), loop).result(5)

        admitted = await asyncio.gather(*[asyncio.to_thread(tool) for _ in range(6)])
    assert all(isinstance(each, Ticket) for each in admitted)
