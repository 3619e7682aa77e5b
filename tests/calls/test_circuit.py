"""Circuit breakers on real calls: an agent that is refused too often, or loops, is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
import pickle
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded, LoopDetected
from otel_agentcost.core import semconv
from tests.calls.test_loops import agent, in_a_trace, openai
from tests.support.budgeted_calls import ASK, Later, answering, ask, async_client, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request

__all__ = ["openai"]

RULE = "agent:trips=2/10m,open=1s"


def refused(call: Callable[[], object]) -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as caught:
        call()
    return caught.value


def states(telemetry: Telemetry) -> dict[str, float]:
    """How often breakers came to each state, by the metric."""
    return {
        state: telemetry.total("agentcost.breaker.transitions", agentcost__breaker__state=state)
        for state in ("open", "half_open", "closed")
    }


def test_an_agent_that_is_refused_too_often_is_left_alone(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused for all its users then, tried after a while, and used again."""
    later = Later()
    settings = {"budgets": "user=greedy:calls=1", "breakers": RULE}
    with (
        client(answering(model_server)) as made,
        budgeted(telemetry, later.clock, **settings),
        caplog.at_level(logging.WARNING),
    ):
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
            later.pass_(1.1)
            ask(made)
            ask(made)
    assert len(model_server.requests) == 4
    assert states(telemetry) == {"open": 1, "half_open": 1, "closed": 1}
    assert telemetry.total("agentcost.budget.refusals", agentcost__budget=RULE) == 2
    assert "agent:trips=2/10m,open=1s of agent researcher has opened" in caplog.text
    events = [event.name for span in telemetry.spans for event in span.events]
    assert events.count(semconv.E_BREAKER_OPENED) == 1
    assert events[-2:] == [semconv.E_BREAKER_TRIED, semconv.E_BREAKER_CLOSED]


def test_a_trial_that_is_refused_opens_it_again(telemetry: Telemetry, model_server: ModelServer) -> None:
    """One refusal is enough then."""
    later = Later()
    settings = {"budgets": "user=greedy:calls=1", "breakers": RULE}
    who = otel_agentcost.attribute(agent="researcher", user="greedy")
    with client(answering(model_server)) as made, budgeted(telemetry, later.clock, **settings), who:
        ask(made)
        reasons = [refused(lambda: ask(made)).reason for _ in range(3)]
        later.pass_(1.1)
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
    assert "agentcost.breaker.transitions" not in telemetry.metrics()


async def test_a_trial_whose_task_is_cancelled_while_it_waits_is_given_back(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """Money that another call holds comes free too late for it: the next call is the trial then, and at once."""
    later = Later()
    answer = answering(model_server).responder
    assert answer is not None
    slow = threading.Event()

    def late(request: Request) -> Reply:
        if request.json.get("user") == "slow":
            slow.wait(5)
        return answer(request)

    settings = {"budgets": "user=greedy:calls=1;tenant=t:calls=2", "breakers": RULE, "wait_seconds": 5}
    async with async_client(answering(model_server, late)) as made:
        with budgeted(telemetry, later.clock, **settings):
            with otel_agentcost.attribute(agent="researcher", user="greedy"):
                await made.chat.completions.create(**ASK)
                for _ in range(2):
                    with pytest.raises(BudgetExceeded):
                        await made.chat.completions.create(**ASK)
            later.pass_(1.1)
            with otel_agentcost.attribute(tenant="t", agent="other"):
                await made.chat.completions.create(**ASK)
                holding = asyncio.create_task(made.chat.completions.create(**ASK, user="slow"))
                await asyncio.sleep(0.1)
            with otel_agentcost.attribute(agent="researcher", tenant="t"):
                waiting = asyncio.create_task(made.chat.completions.create(**ASK))
                await asyncio.sleep(0.1)
            waiting.cancel()
            await asyncio.wait([waiting])
            with otel_agentcost.attribute(agent="researcher"):
                await made.chat.completions.create(**ASK)
            slow.set()
            await holding
    assert states(telemetry) == {"open": 1, "half_open": 2, "closed": 1}


def test_a_call_that_is_refused_after_a_wait_opens_it_from_then_on(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """Not from when it began to wait: a short time would be over before it has begun."""
    answer = answering(model_server).responder
    assert answer is not None
    slow = threading.Event()

    def late(request: Request) -> Reply:
        if request.json.get("user") == "slow":
            slow.wait(5)
        return answer(request)

    settings = {"budgets": "tenant=t:calls=1", "breakers": "agent=researcher:trips=1/10m,open=1s", "wait_seconds": 1.2}
    with client(answering(model_server, late)) as made, budgeted(telemetry, **settings):
        with otel_agentcost.attribute(tenant="t"):
            holding = threading.Thread(target=copy_context().run, args=(lambda: ask(made, user="slow"),))
            holding.start()
            time.sleep(0.2)
        with otel_agentcost.attribute(agent="researcher"):
            with otel_agentcost.attribute(tenant="t"):
                assert refused(lambda: ask(made)).reason == "held"
            assert refused(lambda: ask(made)).reason == "circuit"
        slow.set()
        holding.join()


async def test_a_loop_is_counted_without_stopping_the_event_loop(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A shared ledger hears of it in a thread, when the span of the call that was stopped may be over."""
    looping: dict[str, Any] = {**ASK, "messages": looped(4)}
    file = tmp_path / "ledger.db"
    settings = {"loop_action": "block", "breakers": "agent=bees:loops=1/10m,open=10m", "ledger": f"sqlite:///{file}"}
    async with async_client(answering(model_server)) as made:
        with budgeted(telemetry, **settings), otel_agentcost.attribute(agent="bees"), in_a_trace(telemetry):
            await made.chat.completions.create(**ASK)
            with locked(file, 0.5):
                began = time.perf_counter()
                with pytest.raises(LoopDetected):
                    await made.chat.completions.create(**looping)
                assert time.perf_counter() - began < 0.3
            await asyncio.sleep(0.3)
            with pytest.raises(BudgetExceeded, match="after 1 loop within 10m"):
                await made.chat.completions.create(**ASK)
    assert states(telemetry)["open"] == 1
    assert "ended span" not in caplog.text


def test_an_agent_that_is_only_warned_and_loops_on_stays_alone(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Its loop was told of once; the call that is tried after a while is in it still."""
    later = Later()
    settings = {"breakers": "agent=bees:loops=1/10m,open=1s"}
    who = otel_agentcost.attribute(agent="bees")
    with (
        client(answering(model_server)) as made,
        budgeted(telemetry, later.clock, **settings),
        who,
        in_a_trace(telemetry),
    ):
        assert refused(lambda: ask(made, messages=looped(4))).reason == "circuit"
        later.pass_(1.1)
        assert refused(lambda: ask(made, messages=looped(5))).reason == "circuit"
    assert states(telemetry) == {"open": 2, "half_open": 0, "closed": 0}


def looped(times: int) -> list[dict[str, object]]:
    """The history of an agent that has searched for the same as often, in vain."""
    history: list[dict[str, object]] = [{"role": "user", "content": "How do bees winter?"}]
    for number in range(times):
        function = {"name": "search", "arguments": '{"query": "bees"}'}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        history.append({"role": "assistant", "content": None, "tool_calls": [call]})
        history.append({"role": "tool", "tool_call_id": f"call_{number}", "content": "Nothing found."})
    return history


@contextmanager
def locked(file: Path, seconds: float) -> Generator[None]:
    """Another process writes to the file, for so long."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(seconds, lambda: other.execute("COMMIT"))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        other.close()
