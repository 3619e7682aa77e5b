"""Loops on the line: an agent that goes round in circles is told, or stopped, at its next model call."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from openai import OpenAI
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_agentcost
from otel_agentcost import LoopDetected
from tests.budgets.scene import USD, budgeted, client
from tests.in_memory import Telemetry
from tests.model_server import ModelServer, Request, json_reply
from tests.sdks.replies import chat


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client of a model that asks for the same tool call for ever."""

    def reply(request: Request) -> Any:
        function = {"name": "search", "arguments": json.dumps({"query": "winter bees"})}
        number = len(request.json["messages"])
        call = {"id": f"call-{number}", "type": "function", "function": function}
        answer = chat(model=request.json["model"])
        answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
        return json_reply(answer)

    model_server.responder = reply
    with client(model_server) as made:
        yield made


def agent(openai: OpenAI, results: list[str], most: int = 12) -> int:
    """An agent written by hand: how many model calls it made until it gave up."""
    messages: list[Any] = [{"role": "user", "content": "How do bees survive the winter?"}]
    for step in range(most):
        answer = openai.chat.completions.create(model="gpt-4o-mini", messages=messages, max_tokens=50)
        calls: Any = answer.choices[0].message.tool_calls
        messages.append({"role": "assistant", "content": None, "tool_calls": [call.model_dump() for call in calls]})
        content = results[step % len(results)]
        messages.append({"role": "tool", "tool_call_id": calls[0].id, "content": content})
    return most


def in_a_trace(telemetry: Telemetry) -> Any:
    return telemetry.tracer_provider.get_tracer("app").start_as_current_span("agent")


def test_a_loop_is_stopped_with_its_evidence(telemetry: Telemetry, openai: OpenAI, model_server: ModelServer) -> None:
    """The same call with the same result: after three of them no further model call is made."""
    with budgeted(telemetry, loop_action="block"), in_a_trace(telemetry), pytest.raises(LoopDetected) as caught:
        agent(openai, ["Nothing found."])
    loop = caught.value
    made = len(model_server.requests)
    assert made in (3, 4)
    assert loop.tool == "search"
    assert loop.rule in ("repeat", "error_storm", "cycle")
    assert loop.repeats >= 3
    assert 0 < loop.wasted_usd <= made * Decimal(str(USD))
    assert "search was called" in str(loop)
    assert str(pickle.loads(pickle.dumps(loop))) == str(loop)
    refused = telemetry.spans[-2]
    assert dict(refused.attributes or {})["error.type"] == "otel_agentcost.LoopDetected"
    assert [event.name for event in refused.events][:1] == ["agentcost.loop.detected"]


def test_by_default_a_loop_is_told_once_and_the_agent_goes_on(
    telemetry: Telemetry, openai: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """One event, one log record, one count; what was wasted grows from span to span."""
    with budgeted(telemetry), in_a_trace(telemetry):
        assert agent(openai, ["Nothing found."], most=8) == 8
    chats = [span for span in telemetry.spans if span.name.startswith("chat")]
    events = [dict(event.attributes or {}) for span in chats for event in span.events if "loop" in event.name]
    assert len(events) == 1
    assert events[0]["gen_ai.tool.name"] == "search"
    assert "agentcost.loop.arguments" not in events[0]
    wasted = [dict(span.attributes or {}).get("agentcost.loop.wasted_usd") for span in chats]
    assert wasted[0] is None
    grown = [amount for amount in wasted if isinstance(amount, float)]
    assert len(grown) >= 4
    assert grown == sorted(grown)
    assert telemetry.total("agentcost.loop.detections", gen_ai__tool__name="search") == 1
    assert len([record for record in caplog.records if "a loop of 'search'" in record.getMessage()]) == 1


def test_polling_is_no_loop(telemetry: Telemetry, openai: OpenAI) -> None:
    """The same call with a new result each time is progress."""
    with budgeted(telemetry, loop_action="block"), in_a_trace(telemetry):
        assert agent(openai, [f"{percent} % done" for percent in range(0, 100, 5)], most=12) == 12
    assert telemetry.total("agentcost.loop.detections") == 0


def test_loops_are_stopped_where_nothing_is_sampled(openai: OpenAI, model_server: ModelServer) -> None:
    """They are read from the requests, not from spans."""
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    with budgeted(telemetry, loop_action="block"), in_a_trace(telemetry), pytest.raises(LoopDetected):
        agent(openai, ["Nothing found."])
    telemetry.shutdown()


def test_traces_are_watched_apart(telemetry: Telemetry, openai: OpenAI) -> None:
    """Two steps each in many traces are no loop: each conversation is its own."""
    with budgeted(telemetry, loop_action="block"):
        for _ in range(6):
            with in_a_trace(telemetry):
                agent(openai, ["Nothing found."], most=2)
    assert telemetry.total("agentcost.loop.detections") == 0


def test_looking_for_loops_can_be_switched_off(telemetry: Telemetry, openai: OpenAI) -> None:
    """And the number of repeats can be set."""
    with budgeted(telemetry, loop_max_repeats=0), in_a_trace(telemetry):
        assert agent(openai, ["Nothing found."], most=8) == 8
    assert telemetry.total("agentcost.loop.detections") == 0
    with budgeted(telemetry, loop_max_repeats=6, loop_action="block"), in_a_trace(telemetry):
        assert agent(openai, ["Nothing found."], most=5) == 5


def test_what_a_loop_said_is_told_where_content_may_be(telemetry: Telemetry, openai: OpenAI) -> None:
    """Arguments and results of tools are content: only who asks for content has them on spans."""
    otel_agentcost.instrument(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        settings=otel_agentcost.Settings(capture_content="SPAN_ONLY"),
    )
    try:
        with in_a_trace(telemetry):
            agent(openai, ["Nothing found."], most=6)
    finally:
        otel_agentcost.uninstrument()
    (event,) = [event for span in telemetry.spans for event in span.events if event.name == "agentcost.loop.detected"]
    assert "winter bees" in str(dict(event.attributes or {})["agentcost.loop.arguments"])
