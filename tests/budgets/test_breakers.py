"""Circuit breakers on real calls: an agent that is refused too often, or loops, is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded, LoopDetected, names
from tests.budgets.scene import answering, ask, async_client, budgeted, client
from tests.in_memory import Telemetry
from tests.loops.test_line import agent, in_a_trace, openai
from tests.model_server import ModelServer

__all__ = ["openai"]

RULE = "agent:trips=2/10m,open=1s"


def refused(call: Callable[[], object]) -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as caught:
        call()
    return caught.value


def states(telemetry: Telemetry) -> dict[str, float]:
    """How often breakers came to each state, by the metric."""
    return {
        state: telemetry.total(names.M_BREAKERS, agentcost__breaker__state=state)
        for state in ("open", "half_open", "closed")
    }


def test_an_agent_that_is_refused_too_often_is_left_alone(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused for all its users then, tried after a while, and used again."""
    settings = {"budgets": "user=greedy:calls=1", "breakers": RULE}
    with client(answering(model_server)) as made, budgeted(telemetry, **settings), caplog.at_level(logging.WARNING):
        with otel_agentcost.attribute(agent="researcher", user="greedy"):
            ask(made)
            assert [refused(lambda: ask(made)).reason for _ in range(3)] == ["spent", "spent", "circuit"]
        with otel_agentcost.attribute(agent="researcher", user="modest"):
            error = refused(lambda: ask(made))
            assert error.reason == "circuit"
            assert error.budget == RULE
            assert error.value == "researcher"
            assert "agent researcher is open after 2 refusals or loops within 10m" in str(error)
            assert str(pickle.loads(pickle.dumps(error))) == str(error)
            with otel_agentcost.attribute(agent="writer"):
                ask(made)
            time.sleep(1.1)
            ask(made)
            ask(made)
    assert len(model_server.requests) == 4
    assert states(telemetry) == {"open": 1, "half_open": 1, "closed": 1}
    assert telemetry.total(names.M_REFUSALS, agentcost__budget=RULE) == 2
    assert "agent:trips=2/10m,open=1s of agent researcher has opened" in caplog.text
    events = [event.name for span in telemetry.spans for event in span.events]
    assert events.count(names.E_BREAKER_OPENED) == 1
    assert events[-2:] == [names.E_BREAKER_TRIED, names.E_BREAKER_CLOSED]


def test_a_trial_that_is_refused_opens_it_again(telemetry: Telemetry, model_server: ModelServer) -> None:
    """One refusal is enough then."""
    settings = {"budgets": "user=greedy:calls=1", "breakers": RULE}
    who = otel_agentcost.attribute(agent="researcher", user="greedy")
    with client(answering(model_server)) as made, budgeted(telemetry, **settings), who:
        ask(made)
        reasons = [refused(lambda: ask(made)).reason for _ in range(3)]
        time.sleep(1.1)
        reasons += [refused(lambda: ask(made)).reason for _ in range(2)]
    assert reasons == ["spent", "spent", "circuit", "spent", "circuit"]
    assert states(telemetry) == {"open": 2, "half_open": 1, "closed": 0}


async def test_asynchronous_calls_and_a_shared_ledger(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """The same, asked in a thread."""
    settings = {
        "budgets": "user=greedy:calls=1",
        "breakers": RULE,
        "ledger": f"sqlite:///{tmp_path / 'ledger.db'}",
    }
    reasons: list[str] = []
    async with async_client(answering(model_server)) as made:
        with budgeted(telemetry, **settings), otel_agentcost.attribute(agent="researcher", user="greedy"):
            for pause in (0, 0, 0, 0, 1.1):
                await asyncio.sleep(pause)
                try:
                    await made.chat.completions.create(
                        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_tokens=50
                    )
                    reasons.append("made")
                except BudgetExceeded as error:
                    reasons.append(error.reason)
    assert reasons == ["made", "spent", "spent", "circuit", "spent"]
    assert states(telemetry) == {"open": 2, "half_open": 1, "closed": 0}


def test_an_agent_that_loops_is_left_alone(telemetry: Telemetry, openai: OpenAI, model_server: ModelServer) -> None:
    """Each run that is stopped for a loop is a trip; then not even a new run begins."""
    settings = {"loop_action": "block", "breakers": "agent=bees:loops=2/10m,open=10m"}
    with budgeted(telemetry, **settings), otel_agentcost.attribute(agent="bees"):
        for _ in range(2):
            with in_a_trace(telemetry), pytest.raises(LoopDetected):
                agent(openai, ["Nothing found."])
        before = len(model_server.requests)
        with in_a_trace(telemetry), pytest.raises(BudgetExceeded, match="after 2 loops within 10m"):
            agent(openai, ["Nothing found."])
    assert len(model_server.requests) == before
    assert states(telemetry)["open"] == 1


def test_without_breakers_a_call_is_not_asked_about_them(telemetry: Telemetry, model_server: ModelServer) -> None:
    """No metric of theirs is made."""
    with client(answering(model_server)) as made, budgeted(telemetry, trace_max_llm_calls=5):
        ask(made)
    assert names.M_BREAKERS not in telemetry.metrics()
