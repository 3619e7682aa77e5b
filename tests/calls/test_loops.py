"""Loops on the line: an agent that goes round in circles is told, or stopped, at its next model call."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_agentcost
from otel_agentcost import LoopDetected
from otel_agentcost.calls import active
from otel_agentcost.core.loops import Thresholds
from tests.support.budgeted_calls import USD, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Request, json_reply, sse_reply
from tests.support.replies import chat, message, response


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


def agent(openai: OpenAI, results: list[str], most: int = 12, model: str = "gpt-4o-mini") -> int:
    """An agent written by hand: how many model calls it made until it gave up."""
    messages: list[Any] = [{"role": "user", "content": "How do bees survive the winter?"}]
    for step in range(most):
        answer = openai.chat.completions.create(model=model, messages=messages, max_tokens=50)
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
    assert loop.wasted_usd is not None
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


def test_each_wasted_dollar_is_counted_once(telemetry: Telemetry, openai: OpenAI) -> None:
    """The metric is what the last span says, and not the sum of what all of them say."""
    with budgeted(telemetry), otel_agentcost.attribute(agent="bees"), in_a_trace(telemetry):
        agent(openai, ["Nothing found."], most=9)
    chats = [dict(span.attributes or {}) for span in telemetry.spans if span.name.startswith("chat")]
    wasted = chats[-1]["agentcost.loop.wasted_usd"]
    assert telemetry.total("agentcost.loop.wasted") == pytest.approx(wasted, abs=1e-12)
    assert telemetry.total("agentcost.loop.wasted") < sum(float(str(said["agentcost.cost.usd"])) for said in chats)
    (point,) = telemetry.points("agentcost.loop.wasted")
    assert {"gen_ai.tool.name": "search", "gen_ai.agent.name": "bees"}.items() <= dict(point.attributes or {}).items()


def test_a_loop_of_unpriced_calls_has_not_wasted_zero(telemetry: Telemetry, openai: OpenAI) -> None:
    """What it has cost is not known: neither the exception, nor the event, nor a span has an amount."""
    with budgeted(telemetry, loop_action="block"), in_a_trace(telemetry), pytest.raises(LoopDetected) as caught:
        agent(openai, ["Nothing found."], model="nobodys-model")
    assert caught.value.wasted_usd is None
    assert "since the loop began" not in str(caught.value)
    chats = [span for span in telemetry.spans if span.name.startswith("chat")]
    (event,) = [dict(event.attributes or {}) for span in chats for event in span.events if "loop" in event.name]
    assert "agentcost.loop.wasted_usd" not in event
    assert all("agentcost.loop.wasted_usd" not in (span.attributes or {}) for span in chats)


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


def kept(openai: OpenAI, way: str, results: list[str], most: int = 12) -> int:
    """An agent whose conversation the provider keeps: each request has only what is new."""
    asked: dict[str, Any] = {"model": "gpt-4o-mini", "input": "How do bees survive the winter?"}
    for step in range(most):
        if way == "streamed":
            events = list(openai.responses.create(**asked, stream=True))
            answer: Any = next(event for event in events if event.type == "response.completed").response
        elif way == "raw":
            answer = openai.responses.with_raw_response.create(**asked).parse()
        else:
            answer = openai.responses.create(**asked)
        (call,) = answer.output
        result = {"type": "function_call_output", "call_id": call.call_id, "output": results[step % len(results)]}
        asked = {"model": "gpt-4o-mini", "input": [result], "previous_response_id": answer.id}
    return most


def wanting(request: Request) -> Any:
    """A response that asks for the same tool call once more."""
    number = str(request.json.get("previous_response_id", "0"))
    arguments = json.dumps({"query": "winter bees"})
    call = {"type": "function_call", "call_id": f"c{number}", "id": "f", "name": "search", "arguments": arguments}
    answer = response(id=f"{number}1", output=[{**call, "status": "completed"}])
    if not request.json.get("stream"):
        return json_reply(answer)
    started = response(None, status="in_progress", output=[])
    events = [{"type": "response.created", "response": started}, {"type": "response.completed", "response": answer}]
    return sse_reply([{**event, "sequence_number": place} for place, event in enumerate(events)], named=True)


@pytest.mark.parametrize("way", ["whole", "streamed", "raw"])
def test_a_loop_of_a_conversation_that_the_provider_keeps_is_seen(
    telemetry: Telemetry, model_server: ModelServer, way: str
) -> None:
    """With `previous_response_id` the request has the results alone; the calls were in the answers before."""
    model_server.responder = wanting
    with client(model_server) as made, budgeted(telemetry, loop_action="block"):
        with in_a_trace(telemetry), pytest.raises(LoopDetected) as caught:
            kept(made, way, ["Nothing found."])
        with in_a_trace(telemetry):
            assert kept(made, way, [f"page {number}" for number in range(12)]) == 12
    assert (caught.value.rule, caught.value.tool, caught.value.repeats) == ("repeat", "search", 3)


def test_a_loop_in_a_thread_that_anthropic_keeps_is_seen(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Each request goes on from the last answer, which it does not bring along."""

    def asking(request: Request) -> Any:
        use = {"type": "tool_use", "id": f"tu_{len(model_server.requests)}", "name": "search", "input": {"q": "bees"}}
        return json_reply({**message(), "content": [use], "stop_reason": "tool_use"})

    model_server.responder = asking
    with budgeted(telemetry, loop_action="block"), in_a_trace(telemetry), pytest.raises(LoopDetected) as caught:
        in_a_thread(Anthropic(base_url=model_server.url, api_key="none"))
    assert (caught.value.rule, caught.value.tool) == ("repeat", "search")


def in_a_thread(anthropic: Anthropic) -> None:
    said: list[Any] = [{"role": "user", "content": "How do bees survive the winter?"}]
    for _ in range(12):
        answer: Any = anthropic.messages.create(
            model="claude-opus-4-6", max_tokens=50, messages=said, extra_body={"thread": {"type": "continue"}}
        )
        result = {"type": "tool_result", "tool_use_id": answer.content[0].id, "content": "Nothing found."}
        said = [{"role": "user", "content": [result]}]


def test_a_rule_that_is_left_out_finds_nothing(telemetry: Telemetry, openai: OpenAI) -> None:
    """`LOOP_RULES` names those that count: whoever repeats on purpose needs not give up the others."""
    with budgeted(telemetry, loop_action="block", loop_rules="error_storm,stall"), in_a_trace(telemetry):
        assert agent(openai, ["Nothing found."], most=5) == 5
    stopped = pytest.raises(LoopDetected)
    with budgeted(telemetry, loop_action="block", loop_rules="stall,repeat"), in_a_trace(telemetry), stopped as caught:
        agent(openai, ["Nothing found."])
    assert caught.value.rule == "repeat"


def test_thresholds_can_be_set(telemetry: Telemetry) -> None:
    """Those that are not named stay what was measured to be best."""
    settings: dict[str, Any] = {"loop_max_repeats": 4, "loop_thresholds": "stall=12, results=0.95"}
    with budgeted(telemetry, **settings):
        runtime = active.active()
        assert runtime is not None
        assert runtime.loops is not None
        assert runtime.loops.thresholds == Thresholds(repeats=4, stall=12, results=0.95)
