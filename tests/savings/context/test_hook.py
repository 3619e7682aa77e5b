"""The hook for long histories: the facts that it gets, and what sees the shorter history."""

from __future__ import annotations

import asyncio
import copy
from itertools import pairwise
from typing import Any

import openai
import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.savings.context.hook import LongContext
from tests.savings.context.histories import (
    CALL,
    LEAST,
    LONG,
    WITH_TOOLS,
    ask_chat,
    ask_message,
    plain,
    shortened,
    turns,
)
from tests.support.budgeted_calls import budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat, chat_stream, message


def test_a_hook_is_told_prices_and_asked_at_growth(telemetry: Telemetry, server: ModelServer) -> None:
    """At first at `least`, then each time when the history has grown by a quarter."""
    told: list[LongContext] = []
    messages = [plain("user", "Begin")]
    with budgeted(telemetry):
        otel_agentcost.on_context(told.append, least=LEAST)
        for n in range(20):
            messages = [*messages, plain("assistant", f"{n} " + "word " * 1_000), plain("user", f"And {n}?")]
            server.responder = lambda _, n=n: json_reply(
                chat({"prompt_tokens": 1000 * (n + 1), "completion_tokens": 5})
            )
            ask_chat(server, messages)
    tokens = [each.tokens for each in told]
    assert len(tokens) > 2
    assert tokens[0] >= LEAST
    assert all(after >= before * 1.25 for before, after in pairwise(tokens))
    last = told[-1]
    assert last.calls > 0
    assert last.growth == pytest.approx(1000, rel=0.2)
    assert last.input_usd is not None
    assert last.read_usd == last.input_usd, "no cache was used"
    assert last.break_even_calls(1000) == 0
    projected = last.input_usd * sum(last.tokens + last.growth * (n + 1) for n in range(last.calls))
    assert last.projected_usd == projected


def test_the_break_even_is_that_of_the_formula(telemetry: Telemetry, server: ModelServer) -> None:
    """(write - read)(P - T) / (read T), where the last answer has used the cache."""
    told: list[LongContext] = []
    messages = turns(plain)
    server.responder = lambda _: json_reply(
        message(
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 20_000,
                "cache_creation_input_tokens": 100,
                "output_tokens": 5,
            }
        )
    )
    with budgeted(telemetry):
        otel_agentcost.on_context(told.append, least=LEAST, growth=0.01)
        for _ in range(2):
            ask_message(server, messages)
            messages = [*messages, messages[-2], messages[-1]]
    last = told[-1]
    assert last.read_usd is not None
    assert last.write_usd is not None
    assert float(last.write_usd / last.read_usd) == pytest.approx(12.5)
    cleared = last.tokens // 2
    expected = (last.write_usd - last.read_usd) * (last.tokens - cleared) / (last.read_usd * cleared)
    assert last.break_even_calls(cleared) == pytest.approx(float(expected))
    assert expected > 5


def test_budgets_reserve_for_what_is_sent(telemetry: Telemetry, server: ModelServer) -> None:
    """A request that fits only when it is shorter is made."""
    messages = turns(plain)
    with budgeted(telemetry, budgets="total:tokens=20000"):
        with pytest.raises(BudgetExceeded):
            ask_chat(server, messages)
        otel_agentcost.on_context(shortened, least=LEAST)
        ask_chat(server, messages)
    assert len(server.requests[-1].json["messages"]) == 3


def test_streams_raw_responses_and_async_calls(telemetry: Telemetry, server: ModelServer) -> None:
    """All of them send the shorter history, with every kind of hook."""
    messages: Any = turns(plain)

    async def hook(context: LongContext) -> list[Any]:
        await asyncio.sleep(0)
        return shortened(context)

    async def asynchronous() -> None:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as made:
            await made.chat.completions.create(model="gpt-4o-mini", messages=messages)

    with budgeted(telemetry), client(server) as made:
        for function in (hook, shortened):
            otel_agentcost.on_context(function, least=LEAST)
            asyncio.run(asynchronous())
            made.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=messages).parse()
        server.responder = lambda _: chat_stream()
        list(made.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True))
    assert [len(request.json["messages"]) for request in server.requests] == [3] * 5
    assert all("agentcost.cost.usd" in (span.attributes or {}) for span in telemetry.spans)


def test_pairs_of_tool_calls_may_be_kept_or_dropped_whole(telemetry: Telemetry, server: ModelServer) -> None:
    """Then the shorter history is sent."""
    for kept in ([0, 1, 2, 4], [0, 4]):
        messages = [*copy.deepcopy(WITH_TOOLS)]
        with budgeted(telemetry):
            otel_agentcost.on_context(lambda told, kept=kept: [told.messages[n] for n in kept], least=LEAST)
            ask_chat(server, messages)
        assert server.requests[-1].json["messages"] == [WITH_TOOLS[n] for n in kept]


def test_conversations_do_not_get_what_others_had(telemetry: Telemetry, server: ModelServer) -> None:
    """One that differs in one letter, or belongs to someone else, is not shortened as the other was."""
    messages = turns(plain)
    told: list[LongContext] = []

    def hook(context: LongContext) -> Any:
        told.append(context)
        return shortened(context) if len(told) == 1 else None

    other = copy.deepcopy(messages)
    other[3]["content"] = other[3]["content"].replace("word", "ward", 1)
    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST)
        with otel_agentcost.attribute(tenant="a"):
            ask_chat(server, messages)
            ask_chat(server, other)
        with otel_agentcost.attribute(tenant="b"):
            ask_chat(server, messages)
    assert [len(request.json["messages"]) for request in server.requests] == [3, 11, 11]
    assert len(told) == 3


def test_a_loop_is_found_in_the_shorter_histories_too(telemetry: Telemetry, server: ModelServer) -> None:
    """They are the same conversation."""
    messages: list[dict[str, Any]] = [plain("user", "Begin"), plain("assistant", LONG * 3), plain("user", "Go on")]
    with budgeted(telemetry):
        otel_agentcost.on_context(lambda told: [told.messages[0], *told.messages[2:]], least=LEAST)
        for n in range(8):
            call = {**CALL, "id": f"c{n}"}
            result = {"role": "tool", "tool_call_id": f"c{n}", "content": "nothing found"}
            messages = [*messages, {"role": "assistant", "tool_calls": [call]}, result]
            ask_chat(server, messages)
    assert len(server.requests[-1].json["messages"]) == len(messages) - 1
    events = [event.name for span in telemetry.spans for event in span.events]
    assert semconv.E_LOOP in events
