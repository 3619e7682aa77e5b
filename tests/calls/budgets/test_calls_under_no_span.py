"""Scripts and worker loops without a span: one allowance, renewed by the hour; and one for each `run`."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded, LoopDetected
from tests.support.budgeted_calls import USD, Later, answering, ask, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

HOUR = 3_600


@pytest.mark.parametrize(
    "limit",
    [
        {"trace_max_llm_calls": 3},
        {"trace_budget_usd": str(3.9 * USD)},
        {"trace_budget_tokens": 500},
    ],
)
def test_a_worker_that_runs_for_weeks_is_never_refused_for_good(
    telemetry: Telemetry, model_server: ModelServer, limit: dict[str, Any]
) -> None:
    """A runaway spends one budget an hour; an hour after its first call it may call again."""
    later = Later()
    began = later.clock.wall()
    with client(answering(model_server)) as openai, budgeted(telemetry, later.clock, **limit):
        made, error = until_refused(lambda: ask(openai))
        assert made == 3
        later.pass_(HOUR - 60)
        assert until_refused(lambda: ask(openai))[0] == 0
        later.pass_(120)
        assert until_refused(lambda: ask(openai))[0] == 3
        for _ in range(21 * 24):
            later.pass_(HOUR + 1)
            ask(openai)
    assert "of this process (calls outside a span)" in str(error)
    gives = '`with otel_agentcost.run("job"):` or a span gives each job an allowance of its own.'
    (renewed,) = re.findall(rf" The allowance is renewed at (.*) UTC; {re.escape(gives)}$", str(error))
    until = datetime.fromisoformat(renewed).replace(tzinfo=timezone.utc).timestamp()
    assert 0 <= until - HOUR + 1 - began < 60


def test_the_seconds_of_a_worker_begin_again_with_its_allowance(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """A limit of seconds counts from the first call of the hour, not from that of the process."""
    later = Later()
    with client(answering(model_server)) as openai, budgeted(telemetry, later.clock, trace_max_seconds=60):
        for _ in range(3):
            ask(openai)
            later.pass_(61)
            with pytest.raises(BudgetExceeded, match="61 of 60 seconds have passed"):
                ask(openai)
            later.pass_(HOUR)


def test_the_tool_calls_of_a_worker_count_by_the_hour(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Tool calls under no span count where the model calls do."""
    later = Later()
    with client(answering(model_server)) as openai, budgeted(telemetry, later.clock, trace_max_tool_calls=2):
        for _ in range(2):
            ask(openai)
            for _ in range(3):
                with otel_agentcost.tool_call("search"):
                    pass
            with pytest.raises(BudgetExceeded, match="3 of 2 tool calls are made"):
                ask(openai)
            later.pass_(HOUR + 1)


def test_a_loop_of_an_earlier_hour_is_no_loop(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The state of loop detection belongs to the allowance: a poll each hour is none."""
    later = Later()

    def poll() -> None:
        with otel_agentcost.tool_call("poll", arguments={"page": 1}) as call:
            call.result = "nothing new"
        ask(openai)

    with client(answering(model_server)) as openai, budgeted(telemetry, later.clock, loop_action="block"):
        for _ in range(10):
            poll()
            later.pass_(HOUR + 1)
        for _ in range(2):
            poll()
        with pytest.raises(LoopDetected):
            poll()


@pytest.mark.parametrize("ledger", ["memory://", "sqlite"])
def test_each_of_100_tiny_jobs_has_its_own_allowance(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path, ledger: str
) -> None:
    """`with run("job")` opens a span, so that no job is refused for another; and a runaway among them is."""
    url = ledger if ledger == "memory://" else f"sqlite:///{tmp_path}/ledger.db"
    with client(answering(model_server)) as openai, budgeted(telemetry, trace_max_llm_calls=3, ledger=url):
        for _ in range(100):
            with otel_agentcost.run("job"):
                ask(openai)
        with otel_agentcost.run("job"):
            made, _ = until_refused(lambda: ask(openai))
    assert made == 3


def test_a_run_is_a_trace_without_an_opentelemetry_sdk_too(model_server: ModelServer) -> None:
    """Its span is invalid there, and yet no run is refused for another."""
    otel_agentcost.instrument(settings=otel_agentcost.Settings(trace_max_llm_calls=2))
    found: list[tuple[int, BudgetExceeded]] = []
    try:
        with client(answering(model_server)) as openai:
            for _ in range(3):
                with otel_agentcost.run("tiny job"):
                    found.append(until_refused(lambda: ask(openai)))
    finally:
        otel_agentcost.uninstrument()
    assert [made for made, _ in found] == [2, 2, 2]
    text = r"of run tiny job \S+ has too little left.* The next run has a new allowance\.$"
    assert all(re.search(text, str(error)) for _, error in found)
