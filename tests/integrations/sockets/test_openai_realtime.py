"""OpenAI realtime: each response is one call, with exact dollars, under budgets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.integrations.sockets import realtime as rt
from tests.integrations.sockets.realtime import Start, ask, async_client, client, until, until_async
from tests.support.in_memory import Telemetry
from tests.support.socket_server import SocketServer

pytestmark = rt.DEPRECATED


def ask_async(server: SocketServer) -> None:
    async def main() -> None:
        async with async_client(server).realtime.connect(model=rt.MODEL) as connection:
            await connection.response.create()
            await until_async(connection)

    asyncio.run(main())


def ask_with_send(server: SocketServer) -> None:
    connection = client(server).realtime.connect(model=rt.MODEL).enter()
    connection.send({"type": "response.create", "response": {"output_modalities": ["audio"]}})
    while connection.recv().type != "response.done":
        pass
    connection.close()


def ask_bytes(server: SocketServer) -> None:
    async def main() -> None:
        connection = await async_client(server).realtime.connect(model=rt.MODEL).enter()
        await connection.send({"type": "response.create"})
        while connection.parse_event(await connection.recv_bytes()).type != "response.done":
            pass
        await connection.close()

    asyncio.run(main())


def dispatch(server: SocketServer) -> None:
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.on("response.done", lambda _event: connection.close())
        connection.response.create()
        with suppress(ConnectionClosed):
            connection.dispatch_events()


SHAPES = {
    "sync": ask,
    "async": ask_async,
    "send": ask_with_send,
    "bytes": ask_bytes,
    "dispatch": dispatch,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_response_is_one_call_with_exact_dollars(shape: str, start: Start, telemetry: Telemetry) -> None:
    """Tokens by modality, cached ones by modality too."""
    SHAPES[shape](start(rt.Provider()))
    span = telemetry.span("chat gpt-realtime")
    attributes = dict(span.attributes or {})
    assert attributes["agentcost.cost.usd"] == pytest.approx(rt.USD, abs=1e-15)
    assert attributes["gen_ai.conversation.id"] == "conv_1"
    assert attributes["gen_ai.response.model"] == "gpt-realtime-2025-08-28"
    assert attributes["gen_ai.usage.input_tokens"] == 253
    assert attributes["gen_ai.usage.output_tokens"] == 100
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 64
    kinds = {name: value for name, value in attributes.items() if name.startswith("agentcost.usage.")}
    assert kinds == {
        "agentcost.usage.input_audio_tokens": 90,
        "agentcost.usage.input_image_tokens": 20,
        "agentcost.usage.cache_audio_read_tokens": 14,
        "agentcost.usage.cache_image_read_tokens": 10,
        "agentcost.usage.output_audio_tokens": 70,
    }
    assert telemetry.total("agentcost.cost") == pytest.approx(rt.USD)


def test_the_beta_sends_its_calls_through_the_same_seam(start: Start, telemetry: Telemetry) -> None:
    """Older SDKs have this one alone."""
    server = start(rt.Provider())
    beta = openai.OpenAI(
        api_key="key", base_url=f"http://127.0.0.1:{server.port}/v1", websocket_base_url=f"ws://127.0.0.1:{server.port}"
    ).beta.realtime
    with beta.connect(model=rt.MODEL) as connection:
        connection.response.create()
        until(connection)
    assert telemetry.attributes()["agentcost.cost.usd"] == pytest.approx(rt.USD)


def test_a_socket_without_an_sdk_is_seen(start: Start, telemetry: Telemetry) -> None:
    """Frameworks open theirs themselves: openai-agents, LiteLLM."""
    server = start(rt.Provider())

    async def main() -> None:
        url = f"ws://127.0.0.1:{server.port}/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-realtime"
        async with connect(url) as connection:  # in websockets 13, `websockets.connect` is the legacy client
            await connection.send(json.dumps({"type": "response.create"}))
            async for message in connection:
                if json.loads(message)["type"] == "response.done":
                    break

    asyncio.run(main())
    attributes = telemetry.attributes("chat gpt-realtime")
    assert attributes["agentcost.cost.usd"] == pytest.approx(rt.USD)
    assert attributes["gen_ai.provider.name"] == "azure.ai.openai"


def test_the_turns_of_a_session_are_calls_of_one_conversation(start: Start, telemetry: Telemetry) -> None:
    """The conversation is that of the session."""
    server = start(rt.Provider())
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        for _ in range(3):
            connection.response.create()
            until(connection)
    assert len(telemetry.spans) == 3
    assert [(span.attributes or {})["gen_ai.conversation.id"] for span in telemetry.spans] == ["conv_1"] * 3
    assert telemetry.total("agentcost.cost") == pytest.approx(3 * rt.USD)


@pytest.mark.parametrize("budget", ["total:calls=1", "total:usd=0.262"])
def test_a_refusal_raises_out_of_send_and_sends_nothing(budget: str, start: Start, telemetry: Telemetry) -> None:
    """Dollars refuse the second response, as its worst case is more than what is left."""
    server = start(rt.Provider(), session=rt.session(max_output_tokens=4000), budgets=budget)
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.recv()
        connection.response.create()
        until(connection)
        with pytest.raises(BudgetExceeded) as caught:
            connection.response.create()
        connection.input_audio_buffer.clear()  # the connection goes on
    assert f"{caught.value.limit:g}" in budget
    assert server.types().count("response.create") == 1
    assert (telemetry.spans[-1].attributes or {})["error.type"] == "otel_agentcost.BudgetExceeded"
    assert telemetry.total("agentcost.cost") == pytest.approx(rt.USD)


def test_an_async_refusal_raises_out_of_send(start: Start) -> None:
    """So does the other client."""
    server = start(rt.Provider(), budgets="total:calls=1")

    async def main() -> None:
        async with async_client(server).realtime.connect(model=rt.MODEL) as connection:
            await connection.response.create()
            await until_async(connection)
            with pytest.raises(BudgetExceeded):
                await connection.response.create()

    asyncio.run(main())
    assert server.types().count("response.create") == 1


def test_concurrent_sessions_never_overspend(start: Start, telemetry: Telemetry) -> None:
    """Each response reserves its worst case before it is asked for."""
    session = rt.session(max_output_tokens=100, instructions="Hi.")
    usage = {**rt.USAGE, "input_tokens": 10, "input_token_details": {"text_tokens": 10}}
    server = start(rt.Provider(usage=usage), session=session, budgets="total:usd=0.05", wait_seconds=0.0)
    refused: list[BudgetExceeded] = []

    class Refusals:
        def __enter__(self) -> None: ...

        def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
            if isinstance(error, BudgetExceeded):
                refused.append(error)
            return isinstance(error, BudgetExceeded)

    refusals = Refusals()

    def talk() -> None:
        with client(server).realtime.connect(model=rt.MODEL) as connection:
            connection.recv()
            for _ in range(4):
                with refusals:
                    connection.response.create()
                    until(connection)

    threads = [threading.Thread(target=talk) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused
    assert 0 < telemetry.total("agentcost.cost") <= 0.05


def test_a_clamped_response_gets_a_lower_limit(start: Start) -> None:
    """Everything else of the event is sent as it was."""
    server = start(rt.Provider(), budgets="total:tokens=900,on_exceed=clamp")
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.recv()
        connection.response.create(response={"metadata": {"topic": "a"}})
        until(connection)
    (sent,) = [event for event in server.received if event["type"] == "response.create"]
    assert 0 < sent["response"]["max_output_tokens"] < 900
    assert sent["response"]["metadata"] == {"topic": "a"}


# --- Responses that the server begins ---------------------------------------------------------------------------------


def test_responses_that_the_server_begins_are_counted_under_who_opened(start: Start, telemetry: Telemetry) -> None:
    """What the application asks for is counted under who asks."""
    server = start(rt.Provider(speech=True))
    with otel_agentcost.attribute(user="opener"):
        connection = client(server).realtime.connect(model=rt.MODEL).enter()
    with otel_agentcost.attribute(user="another"):
        connection.input_audio_buffer.append(audio="AAAA" * 4000)
        until(connection)
        connection.response.create()
        until(connection)
    connection.close()
    users = [(span.attributes or {})["user.id"] for span in telemetry.spans]
    assert users == ["opener", "another"]
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * rt.USD)


@pytest.mark.parametrize("budget", ["total:calls=1", "total:usd=0.262"])
def test_no_sound_is_sent_that_leads_to_a_response_beyond_the_budget(budget: str, start: Start) -> None:
    """The first input after a response is checked, and each one after a refusal."""
    server = start(rt.Provider(speech=True), session=rt.session(max_output_tokens=4000), budgets=budget)
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.recv()
        connection.input_audio_buffer.append(audio="AAAA")
        until(connection)
        for _ in range(2):
            with pytest.raises(BudgetExceeded):
                connection.input_audio_buffer.append(audio="AAAA")
    assert server.types().count("input_audio_buffer.append") == 1


def test_sound_is_not_refused_if_the_server_does_not_answer_it(start: Start) -> None:
    """The application asks for each response then."""
    session = rt.session(audio={"input": {"turn_detection": None}, "output": {}})
    server = start(rt.Provider(), session=session, budgets="total:calls=1")
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.response.create()
        until(connection)
        for _ in range(3):
            connection.input_audio_buffer.append(audio="AAAA")
        with pytest.raises(BudgetExceeded):
            connection.response.create()
    server.wait_for("input_audio_buffer.append", times=3)


def test_a_response_that_begins_beyond_the_budget_is_cancelled_and_counted(start: Start, telemetry: Telemetry) -> None:
    """Its begin was not to be seen: the server answers what another client has said (a call over SIP)."""
    cancelled: list[dict[str, Any]] = []

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "input_audio_buffer.clear":
            yield rt.created(1)
            yield rt.done(1)
            yield rt.created(2)
        elif event["type"] == "response.cancel":
            cancelled.append(event)
            usage = {**rt.USAGE, "output_tokens": 0, "output_token_details": {}}
            yield rt.done(2, usage, "cancelled", status_details={"type": "cancelled", "reason": "client_cancelled"})
            yield rt.error("response_cancel_not_active", event["event_id"])
            yield {"type": "input_audio_buffer.cleared", "event_id": "last"}

    server = start(script, budgets="total:calls=1")
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.input_audio_buffer.clear()
        seen = until(connection, "input_audio_buffer.cleared")
        with pytest.raises(BudgetExceeded):
            connection.input_audio_buffer.append(audio="AAAA")
    assert [event["response_id"] for event in cancelled] == ["resp_2"]
    assert "error" not in [event.type for event in seen]  # the application has cancelled nothing
    first, second, _refused = telemetry.spans
    refusals = [
        [event for event in span.events if "agentcost.budget.action" in (event.attributes or {})]
        for span in (first, second)
    ]
    assert [len(events) for events in refusals] == [0, 1]
    assert (second.attributes or {})["agentcost.cost.usd"] == pytest.approx(rt.USD - (30 * 16 + 70 * 64) / 1e6)


def test_an_async_reader_cancels_in_the_background(start: Start) -> None:
    """It awaits nothing but the next message, which it could lose."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "input_audio_buffer.clear":
            yield rt.created(1)
            yield rt.done(1)
            yield rt.created(2)
        elif event["type"] == "response.cancel":
            yield rt.done(2, None, "cancelled")

    server = start(script, budgets="total:calls=1")

    async def main() -> None:
        async with async_client(server).realtime.connect(model=rt.MODEL) as connection:
            await connection.input_audio_buffer.clear()
            await until_async(connection)
            await asyncio.wait_for(until_async(connection), 5)

    asyncio.run(main())
    assert "response.cancel" in server.types()


# --- Transcriptions ---------------------------------------------------------------------------------------------------

TOKENS = {
    "type": "tokens",
    "total_tokens": 130,
    "input_tokens": 110,
    "output_tokens": 20,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 100},
}
TRANSCRIPTIONS: list[tuple[str, dict[str, Any], float]] = [
    ("gpt-4o-transcribe", TOKENS, (10 * 2.5 + 100 * 6 + 20 * 10) / 1e6),
    ("whisper-1", {"type": "duration", "seconds": 90}, 0.009),
]


@pytest.mark.parametrize(("model", "usage", "usd"), TRANSCRIPTIONS)
def test_a_transcription_is_a_call_of_its_own_model(
    model: str, usage: dict[str, Any], usd: float, start: Start, telemetry: Telemetry
) -> None:
    """Its tokens or seconds have the price of that model."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield rt.created()
            yield rt.transcribed(usage)
            yield rt.done()

    detection = {"turn_detection": None, "transcription": {"model": model}}
    server = start(script, session=rt.session(audio={"input": detection, "output": {}}))
    ask(server)
    attributes = telemetry.attributes(f"generate_content {model}")
    assert attributes["agentcost.cost.usd"] == pytest.approx(usd)
    assert attributes["gen_ai.conversation.id"] == "conv_1"
    assert telemetry.total("agentcost.cost") == pytest.approx(usd + rt.USD)


def test_a_transcription_without_usage_says_that_it_has_no_price(start: Start, telemetry: Telemetry) -> None:
    """No guess takes its place."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield rt.created()
            yield rt.transcribed(None)
            yield rt.done()

    server = start(script, session=rt.session(audio={"input": {"transcription": {"model": "whisper-1"}}, "output": {}}))
    ask(server)
    attributes = telemetry.attributes("generate_content whisper-1")
    assert attributes["agentcost.unpriced"] == "the response has no usage"
    assert "agentcost.cost.usd" not in attributes
