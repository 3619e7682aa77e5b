"""A complaint about other tools: the loops of child agents open a fresh allowance, beside their parent's.

In tasks, in threads, and in a process of their own that goes on with the trace: what they spend is their parent's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry import propagate

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import ASK, USD, answering, ask, async_client, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

CALL = Decimal(str(USD))


@pytest.fixture
def sdk(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """A client whose calls all succeed."""
    with client(answering(model_server)) as made:
        yield made


async def test_child_loops_open_no_fresh_allowance(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Children in runs of their own, with more than their parent has, as tasks and as threads, stay within its."""

    async def child(made: openai.AsyncOpenAI) -> int:
        for calls in range(200):
            try:
                await made.chat.completions.create(**ASK)
            except BudgetExceeded as error:  # noqa: PERF203 (that it is raised, is what is waited for)
                return calls if "run=parent:usd=0.0009 " in str(error) else -1
        return -1

    def in_thread(url: str) -> int:
        async def alone() -> int:
            async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="none") as own:
                with otel_agentcost.run("child", usd=1):
                    return await child(own)

        return asyncio.run(alone())

    async with async_client(answering(model_server)) as made:
        with budgeted(telemetry), otel_agentcost.run("parent", usd="0.0009") as run:
            tasks = [otel_agentcost.run("child", usd=1)(child)(made) for _ in range(4)]
            threads = [asyncio.to_thread(in_thread, model_server.url) for _ in range(2)]
            calls = await asyncio.gather(*tasks, *threads)
    assert sum(calls) == len(model_server.requests) == run.llm_calls
    assert 18 <= run.llm_calls <= 20
    assert run.cost_usd == run.llm_calls * CALL


CHILD = """
import json, sys
from openai import OpenAI
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
import otel_agentcost
url, settings, ask, carrier = map(json.loads, sys.argv[1:])
trace.set_tracer_provider(TracerProvider())
otel_agentcost.instrument(settings=otel_agentcost.Settings(**settings))
context.attach(propagate.extract(carrier))
with OpenAI(base_url=url, api_key="none") as client, otel_agentcost.run("child", usd=1):
    try:
        for made in range(200):
            client.chat.completions.create(**ask)
    except otel_agentcost.BudgetExceeded as error:
        print(made, error.budget)
"""


@pytest.mark.parametrize("kind", ["trace", "run"])
def test_a_child_process_opens_no_fresh_allowance(
    telemetry: Telemetry, sdk: openai.OpenAI, model_server: ModelServer, tmp_path: Path, kind: str
) -> None:
    """One that goes on with its parent's trace, on the same ledger, gets what its parent has left and no more."""
    settings: dict[str, Any] = {"ledger": f"sqlite:///{tmp_path}/ledger.db"}
    rule = "trace:calls=8" if kind == "trace" else "run=parent:calls=8"
    settings |= {"trace_max_llm_calls": 8} if kind == "trace" else {}
    allowance = None if kind == "trace" else 8
    with budgeted(telemetry, **settings), otel_agentcost.run("parent", llm_calls=allowance):
        for _ in range(3):
            ask(sdk)
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        given = [json.dumps(each) for each in (model_server.url + "/v1", settings, ASK, carrier)]
        child = subprocess.run([sys.executable, "-c", CHILD, *given], stdout=subprocess.PIPE, text=True, check=True)
        assert child.stdout.strip() == f"5 {rule}"
        with pytest.raises(BudgetExceeded):
            ask(sdk)
    assert len(model_server.requests) == 8
