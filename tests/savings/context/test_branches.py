"""Conversations that begin alike, and those that the provider refuses: nothing of one comes to another."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import anthropic
import openai
import pytest

import otel_agentcost
from otel_agentcost.savings.context import memory
from otel_agentcost.savings.context.hook import LongContext
from otel_agentcost.savings.context.memory import Memory, State
from tests.savings.context.histories import LEAST, LONG, ask_chat, ask_message, plain, shortened
from tests.support.budgeted_calls import budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Request, json_reply
from tests.support.replies import chat

BASE = [plain("user", LONG * 4), plain("assistant", "read"), plain("user", "Summarize")]
ANN = [*BASE, plain("assistant", LONG * 2), plain("user", "of ann " * 100)]
BOB = [*BASE, plain("assistant", LONG * 2 + "!"), plain("user", "of bob " * 100)]


def counted(request: Request) -> Any:
    return json_reply(chat({"prompt_tokens": len(request.body) // 4, "completion_tokens": 5}))


def test_branches_in_one_event_loop_do_not_get_what_the_other_had(telemetry: Telemetry, server: ModelServer) -> None:
    """The hook is still asked about one when it returns for the other."""

    async def hook(told: LongContext) -> Any:
        written = json.dumps(told.messages)
        if "of ann" in written:
            await asyncio.sleep(0.1)
            return [plain("user", "summary for ann"), plain("assistant", "ok"), told.messages[-1]]
        await asyncio.sleep(0.3 if "of bob" in written else 0)
        return None

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as made:

            async def ask(messages: Any) -> None:
                await made.chat.completions.create(model="gpt-4o-mini", messages=messages)

            await ask(BASE)
            await asyncio.gather(ask(ANN), ask(BOB))
            await ask([*BOB, plain("assistant", "b2"), plain("user", "go on")])
            await ask([*ANN, plain("assistant", "a2"), plain("user", "go on")])

    server.responder = counted
    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST, growth=0.01)
        asyncio.run(run())
    of_bob = [request for request in server.requests if "of bob" in str(request.json)]
    assert len(of_bob) == 2
    assert all("for ann" not in str(request.json) for request in of_bob)
    assert "for ann" in str(server.requests[-1].json), "what was shortened for a branch stays shortened in it"


def test_branches_in_threads_do_not_get_what_the_other_had(telemetry: Telemetry, server: ModelServer) -> None:
    """Nor if the hook gives up for one of them."""

    def hook(told: LongContext) -> Any:
        written = json.dumps(told.messages)
        if "of ann" in written:
            threading.Event().wait(0.1)
            return [plain("user", "summary for ann"), plain("assistant", "ok"), told.messages[-1]]
        if "of bob" in written and "b2" not in written:
            threading.Event().wait(2)
        return None

    server.responder = counted
    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST, growth=0.01, seconds=0.5)
        ask_chat(server, BASE)
        threads = [threading.Thread(target=ask_chat, args=(server, each)) for each in (ANN, BOB)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        ask_chat(server, [*BOB, plain("assistant", "b2"), plain("user", "go on")])
    assert server.requests[-1].json["messages"][: len(BOB)] == BOB


def test_other_instructions_tools_models_and_formats_are_other_conversations(
    telemetry: Telemetry, server: ModelServer
) -> None:
    """A text that was written under one of them is not sent under another. A label makes none."""
    told: list[LongContext] = []
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]

    def hook(context: LongContext) -> Any:
        told.append(context)
        return shortened(context) if len(told) == 1 else None

    messages: Any = [plain("user", "Begin"), plain("assistant", LONG * 3), *BASE]
    with budgeted(telemetry), client(server) as made:
        otel_agentcost.on_context(hook, least=LEAST)

        def ask(*lead: Any, **more: Any) -> int:
            body: Any = {"model": "gpt-4o-mini", "messages": [*lead, *messages], **more}
            made.chat.completions.create(**body)
            return len(server.requests[-1].json["messages"])

        with otel_agentcost.attribute(feature="one"):
            assert ask(plain("system", "of admins")) == 4
        with otel_agentcost.attribute(feature="another"):
            assert ask(plain("system", "of admins")) == 4
        assert len(told) == 1
        assert ask(plain("system", "of the public")) == 6
        assert ask(plain("system", "of admins"), tools=tools) == 6
        assert ask(plain("system", "of admins"), model="gpt-4o") == 6
        ask_message(server, messages)
    assert server.requests[-1].json["messages"] == messages
    assert len(told) == 5


def test_a_conversation_whose_shorter_history_is_refused_is_left_alone(
    telemetry: Telemetry, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its next request is sent as it was written, and the hook is not asked again at once."""
    told: list[LongContext] = []

    def answer(request: Request) -> Any:
        return (
            json_reply({"error": {"message": "no"}}, status=400)
            if "summary" in str(request.json)
            else json_reply(chat())
        )

    def hook(context: LongContext) -> Any:
        told.append(context)
        return [plain("user", "summary"), context.messages[-1]]

    server.responder = answer
    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST)
        with pytest.raises(openai.BadRequestError):
            ask_chat(server, ANN)
        edited = [*ANN[:-1], plain("user", "in other words")]
        for messages in (ANN, [*ANN, plain("assistant", "a"), plain("user", LONG)], edited):
            ask_chat(server, messages)
            assert server.requests[-1].json["messages"] == messages
        assert len(told) == 1
        for n in range(5):
            messages = [plain("user", f"{n} {LONG * 4}"), *BASE[1:]]
            try:
                ask_chat(server, messages)
            except openai.BadRequestError:
                assert n < 2, "after three refusals in a row it is given up"
        assert len(told) == 3
    assert "was refused (400" in caplog.text
    assert "is not asked any more" in caplog.text


def test_other_failures_leave_a_shorter_history_shorter(telemetry: Telemetry, server: ModelServer) -> None:
    """It was not refused."""
    asked: Any = ANN
    with budgeted(telemetry):
        otel_agentcost.on_context(shortened, least=LEAST)
        server.responder = lambda _: json_reply({"error": {"message": "later"}}, status=429)
        with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as made:
            for _ in range(2):
                with pytest.raises(anthropic.RateLimitError):
                    made.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=asked)
    assert [len(request.json["messages"]) for request in server.requests] == [3, 3]


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes."""
    monkeypatch.setattr(memory, "MOST_CHARACTERS", 250)
    known = Memory()
    for n in range(5):
        known.move((None, State()), bytes([n]), State(calls=n, weight=100))
    assert [known.find([bytes([n])])[1].calls for n in range(5)] == [0, 0, 0, 3, 4]
    known.move((None, State()), b"big", State(calls=9, weight=1_000))
    assert known.find([b"big"]) == (None, State())
    assert known._weight == 0
