"""Answers that go on, in programs with an event loop and a ledger that processes share."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

import otel_agentcost
from otel_agentcost.guard.ledger.sqlite import SqliteLedger
from tests.calls.budgets.test_answers_elsewhere import USD, Provider, begin, ledger, provider
from tests.integrations.sdks import test_unfinished_answers
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

__all__ = ["ledger", "provider"]


class Slow(SqliteLedger):
    """A ledger that is far away."""

    def find_note(self, key: str, *, now: float) -> str | None:
        time.sleep(0.1)
        return super().find_note(key, now=now)


@pytest.mark.parametrize("begins", [True, False], ids=["own", "of another process"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_event_loop_loses_nothing_of_the_span_and_the_run_around(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str, *, begins: bool, streamed: bool
) -> None:
    """The ledger is asked in a thread. What is awaited is charged when it returns, and the root span waits for it."""
    seen: list[object] = []

    async def main() -> None:
        tracer = telemetry.tracer_provider.get_tracer("app")
        async with AsyncOpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
            with tracer.start_as_current_span("agent"), otel_agentcost.run("r", usd=1) as run:
                if begins:
                    await client.responses.create(**test_unfinished_answers.ASK)
                provider.finish()
                if streamed:
                    async for _ in await client.responses.retrieve("resp_1", stream=True):
                        pass
                else:
                    await client.responses.retrieve("resp_1")
                    seen.append(run.cost_usd)

    settings: dict[str, Any] = {"budgets": "user:usd=1", "ledger": Slow(Path(ledger.removeprefix("sqlite://")), 5)}
    if not begins:
        with budgeted(Telemetry(), budgets="user:usd=1", ledger=ledger):
            begin(model_server.url)
    with budgeted(telemetry, **settings):
        asyncio.run(main())
        for _ in range(200):  # a stream's end does not wait
            if telemetry.total("agentcost.trace.cost"):
                break
            time.sleep(0.02)
    assert telemetry.attributes("agent")["agentcost.trace.cost_usd"] == pytest.approx(USD)
    assert telemetry.total("agentcost.trace.cost") == pytest.approx(USD)
    if begins and not streamed:
        assert seen == [test_unfinished_answers.USD]
