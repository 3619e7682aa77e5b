"""Gemini live: a turn is one call, with exact dollars, under budgets; the application sees no difference."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from google import genai
from google.genai import types

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.settings import Settings
from tests.integrations.sockets import live
from tests.support.call_shapes import instrumented
from tests.support.certificates import client_context, server_context
from tests.support.in_memory import Telemetry
from tests.support.socket_server import Script, SocketServer

Start = Callable[..., SocketServer]
Talk = Callable[[Any], Awaitable[object]]


@pytest.fixture
def start(telemetry: Telemetry) -> Iterator[Start]:
    """Instruments with the settings that it is given, and starts a server."""
    with ExitStack() as stack:

        def begin(script: Script, **settings: Any) -> SocketServer:
            stack.enter_context(instrumented(telemetry, settings=Settings(**settings)))
            return stack.enter_context(SocketServer(script, tls=server_context()))

        yield begin


def client(server: SocketServer, **more: Any) -> genai.Client:
    scheme = "wss" if more else "https"
    options = types.HttpOptions(
        base_url=f"{scheme}://127.0.0.1:{server.port}", async_client_args={"ssl": client_context()}
    )
    return genai.Client(**(more or {"api_key": "key"}), http_options=options)


def talk(server: SocketServer, conversation: Talk, config: dict[str, Any] | None = None, **more: Any) -> None:
    async def main() -> None:
        made = client(server, **more)
        asked: Any = config or {"response_modalities": ["AUDIO"]}
        async with made.aio.live.connect(model=live.MODEL, config=asked) as it:
            await conversation(it)

    asyncio.run(main())


async def say(session: Any) -> list[Any]:
    await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello"}]})
    return [message async for message in session.receive()]


SERVERS: list[dict[str, Any]] = [{}, {"vertexai": True}]


@pytest.mark.parametrize("more", SERVERS)
def test_a_turn_is_one_call_with_exact_dollars(more: dict[str, Any], start: Start, telemetry: Telemetry) -> None:
    """The second server is one of a gateway, whose address names no protocol."""
    talk(start(live.Provider()), say, **more)
    attributes = telemetry.attributes("generate_content gemini-3.1-flash-live-preview")
    assert attributes["agentcost.cost.usd"] == pytest.approx(live.USD)
    assert attributes["gen_ai.conversation.id"] == "live-session-1"
    assert attributes["agentcost.usage.input_audio_tokens"] == 165
    assert attributes["agentcost.usage.output_audio_tokens"] == 42
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 136
    assert attributes["gen_ai.usage.input_tokens"] == 522


def test_every_turn_is_billed_with_the_whole_session(start: Start, telemetry: Telemetry) -> None:
    """Each usage counts: they are no totals of the session."""

    async def conversation(session: Any) -> None:
        for _ in range(3):
            await say(session)

    talk(start(live.Provider()), conversation)
    assert len(telemetry.spans) == 3
    assert telemetry.total("agentcost.cost") == pytest.approx(3 * live.USD)


LATER = {**live.USAGE, "promptTokenCount": 700, "totalTokenCount": 878}
PARTLY = {**live.USAGE, "responseTokenCount": 10, "responseTokensDetails": [], "totalTokenCount": 668}
TURNS: dict[str, tuple[list[dict[str, Any]], float]] = {
    "with the end": ([live.sound(40), live.complete()], live.USD),
    "before the end": ([live.sound(40), live.message(usage_metadata=live.USAGE), live.complete(None)], live.USD),
    "after the end": ([live.sound(40), live.complete(None), live.message(usage_metadata=live.USAGE)], live.USD),
    "totals so far": (
        [live.words("a"), live.message(usage_metadata=PARTLY), live.words("b"), live.complete()],
        live.USD,
    ),
    "two generations": (
        [live.sound(40), live.message(usage_metadata=live.USAGE), live.sound(40), live.complete(LATER)],
        2 * live.USD + 178 * 0.75 / 1e6,
    ),
    "interrupted": (
        [live.sound(40), live.message(server_content={"interrupted": True}), live.complete()],
        live.USD,
    ),
}


@pytest.mark.parametrize("name", TURNS)
def test_the_usage_of_a_turn_counts_once_wherever_it_is(name: str, start: Start, telemetry: Telemetry) -> None:
    """Totals so far replace each other; generations are added."""
    messages, usd = TURNS[name]

    async def conversation(session: Any) -> None:
        await say(session)
        if name == "after the end":
            await session._receive()

    talk(start(live.Provider(*messages)), conversation)
    attributes = telemetry.attributes()
    assert attributes["agentcost.cost.usd"] == pytest.approx(usd)
    assert "agentcost.usage.estimated" not in attributes


def test_a_tool_call_ends_a_call_and_its_result_asks_for_another(start: Start, telemetry: Telemetry) -> None:
    """Both are generations, and both are billed."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if "setup" in event:
            yield live.SETUP_COMPLETE
        elif "client_content" in event:
            yield live.tool_call()
        elif "tool_response" in event:
            yield live.sound(100)
            yield live.complete(LATER)

    async def conversation(session: Any) -> None:
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello"}]})
        async for message in session.receive():
            if message.tool_call:
                answer = types.FunctionResponse(id="call-1", name="look", response={"sky": "blue"})
                await session.send_tool_response(function_responses=answer)

    talk(start(script, budgets="total:calls=2"), conversation)
    first, second = telemetry.spans
    assert (first.attributes or {})["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert (first.attributes or {})["agentcost.cost.usd"] == pytest.approx(live.USD)
    assert (second.attributes or {})["agentcost.cost.usd"] == pytest.approx(live.USD + 178 * 0.75 / 1e6)


def test_input_before_the_answer_asks_for_one_turn_only(start: Start, telemetry: Telemetry) -> None:
    """The model answers all of it at once, and bills it once."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if "setup" in event:
            yield live.SETUP_COMPLETE
        elif event["realtime_input"]["text"] == "c":
            yield live.complete()

    async def conversation(session: Any) -> None:
        for text in "abc":
            await session.send_realtime_input(text=text)
        async for _ in session.receive():
            pass

    talk(start(script), conversation)
    assert telemetry.attributes()["agentcost.cost.usd"] == pytest.approx(live.USD)


def test_a_refused_turn_is_not_sent(start: Start, telemetry: Telemetry) -> None:
    """Neither is input that leads to one; what asks for nothing is."""
    server = start(live.Provider(), budgets="total:calls=1")

    async def conversation(session: Any) -> None:
        await say(session)
        sends: list[Callable[[], Awaitable[None]]] = [
            lambda: session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello"}]}),
            lambda: session.send_realtime_input(text="Hello"),
            lambda: session.send_tool_response(
                function_responses=types.FunctionResponse(id="1", name="f", response={"a": 1})
            ),
            lambda: session.send_realtime_input(audio=types.Blob(data=bytes(3200), mime_type="audio/pcm;rate=16000")),
        ]
        for send in sends:
            with pytest.raises(BudgetExceeded):
                await send()
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "a"}]}, turn_complete=False)
        for _ in range(500):  # the server reads in a thread of its own
            if len(server.types()) > 2:
                break
            await asyncio.sleep(0.01)

    talk(server, conversation)
    assert server.types() == ["setup", "client_content", "client_content"]
    assert telemetry.total("agentcost.cost") == pytest.approx(live.USD)


def test_turns_that_the_server_begins_are_counted_under_who_opened(start: Start, telemetry: Telemetry) -> None:
    """The sound itself asks for nothing."""
    server = start(live.Provider(speech=True), budgets="total:usd=0.9")

    async def main() -> None:
        config: Any = {"response_modalities": ["AUDIO"], "max_output_tokens": 100}
        with otel_agentcost.attribute(user="opener"):
            manager = client(server).aio.live.connect(model=live.MODEL, config=config)
            session = await manager.__aenter__()
        with otel_agentcost.attribute(user="another"):
            for _ in range(2):
                sound = types.Blob(data=bytes(3200), mime_type="audio/pcm;rate=16000")
                await session.send_realtime_input(audio=sound)
                async for _ in session.receive():
                    pass
        await manager.__aexit__(None, None, None)

    asyncio.run(main())
    assert [(span.attributes or {})["user.id"] for span in telemetry.spans] == ["opener", "opener"]
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * live.USD)


@pytest.mark.parametrize("broken", [False, True])
def test_an_unfinished_turn_is_estimated_and_says_so(broken: bool, start: Start, telemetry: Telemetry) -> None:
    """By the length of its sound."""
    server = start(live.Provider(live.sound(1000), live.sound(1000), *([None] if broken else [])))

    async def conversation(session: Any) -> None:
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello"}]})
        await session._receive()
        await session._receive()

    talk(server, conversation)
    attributes: Any = telemetry.attributes()
    assert attributes["agentcost.usage.estimated"] is True
    assert 49 <= attributes["agentcost.usage.output_audio_tokens"] <= 52


def test_capacity_paid_in_advance_has_no_price(start: Start, telemetry: Telemetry) -> None:
    """As for every other call of Vertex AI."""
    talk(start(live.Provider(live.complete({**live.USAGE, "trafficType": "PROVISIONED_THROUGHPUT"}))), say)
    assert "paid in advance" in str(telemetry.attributes()["agentcost.unpriced"])


def test_the_application_gets_the_same_messages(telemetry: Telemetry) -> None:
    """By content."""
    seen: list[Any] = []

    async def conversation(session: Any) -> None:
        seen.append([message.model_dump() for message in await say(session)])

    for bare in (True, False):
        with ExitStack() as stack:
            if not bare:
                stack.enter_context(instrumented(telemetry))
            talk(stack.enter_context(SocketServer(live.Provider(), tls=server_context())), conversation)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 3
    assert len(telemetry.spans) == 1
