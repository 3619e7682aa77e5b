"""Hooks that go wrong: the request is sent as it was."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

import otel_agentcost
from otel_agentcost.savings.context.hook import LongContext
from tests.savings.context.histories import (
    LEAST,
    WITH_TOOLS,
    ask_chat,
    plain,
    shortened,
    turns,
)
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


def raises(_: LongContext) -> Any:
    raise ZeroDivisionError("no")


def never_returns(_: LongContext) -> Any:
    time.sleep(5)


def exits(_: LongContext) -> Any:
    raise SystemExit(3)


def mutates(told: LongContext) -> None:
    told.messages.clear()


def mutates_within(told: LongContext) -> None:
    for each in told.messages:
        each["content"] = "x"


WRONG: dict[str, tuple[Callable[[LongContext], Any], str | None]] = {
    "raises": (raises, "failed with ZeroDivisionError"),
    "exits": (exits, "failed with SystemExit"),
    "never returns": (never_returns, "has not returned within 0.2 seconds"),
    "mutates its argument": (mutates, None),
    "mutates the messages": (mutates_within, None),
    "a text": (lambda _: "short", "it is no list of messages"),
    "a number": (lambda _: 5, "it is no list of messages"),
    "numbers": (lambda _: [1, 2], "it is no list of messages"),
    "nothing left": (lambda _: [], "the last message is not the same"),
    "another question": (lambda _: [plain("user", "Else?")], "the last message is not the same"),
    "the same": (lambda told: told.messages, "it is not shorter"),
    "a call without its result": (lambda told: [m for m in told.messages if m["role"] != "tool"], "without its result"),
    "a result without its call": (lambda told: told.messages[2:3] + told.messages[-1:], "without its call"),
    "a pair torn apart": (
        lambda told: [*told.messages[:2], plain("user", "?"), told.messages[2], told.messages[-1]],
        "are separated",
    ),
    "a circle": (lambda _: CIRCLE, "it is no list of messages"),
    "a circle in a message": (lambda told: [CIRCLE, told.messages[-1]], "neither a given one nor a text"),
    "a set": (lambda told: [{"role": "user", "content": {1}}, told.messages[-1]], "neither a given one nor a text"),
    "bytes": (lambda told: [{"role": "user", "content": b"s"}, told.messages[-1]], "neither a given one nor a text"),
    "an object": (
        lambda told: [{"role": "user", "content": object()}, told.messages[-1]],
        "neither a given one nor a text",
    ),
    "half a character": (lambda told: [plain("user", "\ud800"), told.messages[-1]], "cannot be encoded"),
    "no text": (lambda told: [plain("user", " "), told.messages[-1]], "neither a given one nor a text"),
    "no role": (lambda told: [{"content": "s"}, told.messages[-1]], "neither a given one nor a text"),
    "a role of its own": (lambda told: [plain("summary", "s"), told.messages[-1]], "the role of one of its messages"),
    "an instruction": (lambda told: [plain("developer", "s"), told.messages[-1]], "the role of one of its messages"),
    "another order": (
        lambda told: [told.messages[3], {**told.messages[0], "name": "x"}, told.messages[-1]],
        "neither a given one nor a text",
    ),
}
CIRCLE: Any = {}
CIRCLE["itself"] = CIRCLE


@pytest.mark.parametrize("name", WRONG)
def test_a_hook_that_goes_wrong_leaves_the_request_as_it_was(
    telemetry: Telemetry, server: ModelServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """To the byte. One sentence says why."""
    hook, said = WRONG[name]
    messages: Any = copy.deepcopy(WITH_TOOLS)
    ask_chat(server, messages)
    alone = server.requests[-1].body
    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST, seconds=0.2)
        for _ in range(2):
            ask_chat(server, messages)
            assert server.requests[-1].body == alone
    assert messages == WITH_TOOLS
    warnings = [record.message for record in caplog.records if "hook" in record.message]
    assert len(warnings) == (said is not None), warnings
    assert said is None or said in warnings[0]


async def test_an_async_hook_that_goes_wrong_leaves_the_request_as_it_was(
    telemetry: Telemetry, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It raises, it cancels itself, or it never returns; none of this is an end of the call."""

    async def fails(_: LongContext) -> None:
        raise ZeroDivisionError

    async def cancels(_: LongContext) -> None:
        raise asyncio.CancelledError

    async def hangs(_: LongContext) -> None:
        await asyncio.sleep(60)

    async def leaves(_: LongContext) -> None:
        raise SystemExit(3)

    async def interrupts(_: LongContext) -> None:
        raise KeyboardInterrupt

    messages: Any = turns(plain)
    with budgeted(telemetry):
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as made:
            for hook in (fails, cancels, hangs, never_returns, leaves, interrupts):
                otel_agentcost.on_context(hook, least=LEAST, seconds=0.2)
                await made.chat.completions.create(model="gpt-4o-mini", messages=messages)
    assert all(request.json["messages"] == messages for request in server.requests)
    for said in ("ZeroDivisionError", "CancelledError", "SystemExit", "KeyboardInterrupt"):
        assert said in caplog.text
    for said in ("hangs has not returned", "never_returns has not returned"):
        assert said in caplog.text


def test_a_hook_that_calls_a_model_is_not_asked_about_that_call(telemetry: Telemetry, server: ModelServer) -> None:
    """Its call is measured as any other."""
    times: list[int] = []

    def hook(told: LongContext) -> list[Any]:
        times.append(told.tokens)
        ask_chat(server, told.messages)
        return shortened(told)

    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST)
        ask_chat(server, turns(plain))
    assert len(times) == 1
    assert [len(request.json["messages"]) for request in server.requests] == [11, 3]
    assert len(telemetry.spans) == 2
