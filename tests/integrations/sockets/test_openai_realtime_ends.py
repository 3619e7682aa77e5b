"""OpenAI realtime: responses that end in other ways than planned, and what the application sees."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosed

from tests.integrations.sockets import realtime as rt
from tests.integrations.sockets.realtime import Start, ask, async_client, client, until
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.socket_server import Script, SocketServer

pytestmark = rt.DEPRECATED

# --- Responses that do not end as planned -----------------------------------------------------------------------------


def broken(*events: dict[str, Any] | None) -> Script:
    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield rt.created()
            yield from events

    return script


ZEROS = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_token_details": {"cached_tokens": 0, "text_tokens": 0, "audio_tokens": 0},
    "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
}
REPORTED = [
    ("cancelled", rt.USAGE, rt.USD),
    ("incomplete", rt.USAGE, rt.USD),
    ("failed", rt.USAGE, rt.USD),
    ("cancelled", ZEROS, 0.0),
]


@pytest.mark.parametrize(("status", "usage", "usd"), REPORTED)
def test_what_is_reported_counts_whatever_the_status(
    status: str, usage: dict[str, Any], usd: float, start: Start, telemetry: Telemetry
) -> None:
    """Zeros are right for a response that was cancelled at once."""
    server = start(broken(rt.done(1, usage, status)))
    ask(server)
    attributes = telemetry.attributes()
    assert attributes.get("agentcost.cost.usd", 0) == pytest.approx(usd)
    assert "agentcost.usage.estimated" not in attributes
    assert attributes["gen_ai.response.finish_reasons"] == (status,)


def test_a_response_that_outgrows_its_budget_is_cancelled(start: Start, telemetry: Telemetry) -> None:
    """Its output has no limit: it may use what is left. The application gets the end that the server sends."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield rt.created()
            yield from [rt.sound(1000)] * 20
        elif event["type"] == "response.cancel":
            usage = {**rt.USAGE, "output_tokens": 400, "output_token_details": {"audio_tokens": 400}}
            yield rt.done(1, usage, "cancelled")

    server = start(script, budgets="total:usd=0.02")
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.response.create()
        assert until(connection)[-1].response.status == "cancelled"
    assert server.types() == ["response.create", "response.cancel"]
    (event,) = [event for event in telemetry.span().events if "agentcost.budget.action" in (event.attributes or {})]
    assert (event.attributes or {})["agentcost.budget.action"] == "cut_off"


def test_a_failure_without_a_usage_is_no_guess(start: Start, telemetry: Telemetry) -> None:
    """The span says why there is no price."""
    details = {"type": "failed", "error": {"type": "server_error", "message": "overloaded"}}
    ask(start(broken(rt.done(1, None, "failed", status_details=details))))
    attributes = telemetry.attributes()
    assert attributes["agentcost.unpriced"] == "the response failed: overloaded"


@pytest.mark.parametrize("how", ["closed by the client", "broken", "dropped"])
def test_an_unfinished_response_is_estimated_and_says_so(how: str, start: Start, telemetry: Telemetry) -> None:
    """By the length of its sound and by its words."""
    pieces = [rt.spoken("Hello, how are you today?"), rt.sound(1000), rt.sound(1000)]
    server = start(broken(*pieces, *([] if how == "closed by the client" else [None])))
    connection = client(server).realtime.connect(model=rt.MODEL).enter()
    connection.response.create()
    for _ in range(5):
        connection.recv()
    if how == "broken":
        with pytest.raises(ConnectionClosed):
            connection.recv()
    elif how == "dropped":
        del connection
        for _ in range(50):
            gc.collect()
            if telemetry.spans:
                break
            threading.Event().wait(0.1)
    else:
        connection.close()
    attributes: Any = telemetry.attributes()
    assert attributes["agentcost.usage.estimated"] is True
    assert 38 <= attributes["agentcost.usage.output_audio_tokens"] <= 40
    assert 0.0025 < attributes["agentcost.cost.usd"] < 0.004
    assert ("error.type" in attributes) == (how == "broken")


@pytest.mark.parametrize("event_id", [None, "mine"])
def test_a_response_that_the_server_rejects_costs_nothing(
    event_id: str | None, start: Start, telemetry: Telemetry
) -> None:
    """With the id of the event that asked, and without one."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield rt.error("conversation_already_has_active_response", event.get("event_id"))

    server = start(script, budgets="total:usd=1")
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.response.create(event_id=event_id or openai.omit)
        assert until(connection, "error")[-1].error.code == "conversation_already_has_active_response"
    attributes = telemetry.attributes()
    assert attributes["error.type"] == "400"
    assert "agentcost.cost.usd" not in attributes
    assert "agentcost.unpriced" not in attributes


def test_responses_side_by_side_are_not_mixed_up(start: Start, telemetry: Telemetry) -> None:
    """Those out of band run beside that of the conversation."""
    half = {"total_tokens": 15, "input_tokens": 10, "output_tokens": 5}

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create" and event["response"]["conversation"] == "none":
            yield rt.created(1)
            yield rt.created(2, conversation_id=None)
            yield rt.words("one", 1)
            yield rt.words("two", 2)
            yield rt.done(2, half, conversation_id=None)
            yield rt.done(1)

    server = start(script)
    with client(server).realtime.connect(model=rt.MODEL) as connection:
        connection.response.create(response={"conversation": "auto"})
        connection.response.create(response={"conversation": "none"})
        until(connection)
        until(connection)
    costs = {
        (span.attributes or {})["gen_ai.response.id"]: (span.attributes or {})["agentcost.cost.usd"]
        for span in telemetry.spans
    }
    assert costs == {"resp_1": pytest.approx(rt.USD), "resp_2": pytest.approx((10 * 4 + 5 * 16) / 1e6)}


# --- The application --------------------------------------------------------------------------------------------------


def test_the_application_gets_the_same_events(telemetry: Telemetry) -> None:
    """By type and content."""

    def seen(server: SocketServer) -> list[Any]:
        with client(server).realtime.connect(model=rt.MODEL) as connection:
            connection.response.create()
            return [(type(event), event.to_dict()) for event in until(connection)]

    with SocketServer(rt.Provider(speech=True), [rt.session()]) as server:
        bare = seen(server)
    with SocketServer(rt.Provider(speech=True), [rt.session()]) as server, instrumented(telemetry):
        assert seen(server) == bare
    assert len(telemetry.spans) == 1


def test_a_cancelled_reader_loses_no_event(start: Start, telemetry: Telemetry) -> None:
    """Whatever reads, waits and sends beside it."""
    server = start(rt.Provider(), budgets="total:usd=5")

    async def main() -> list[str]:
        seen: list[str] = []
        async with async_client(server).realtime.connect(model=rt.MODEL) as connection:
            await connection.recv()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.05)
            await asyncio.gather(*(connection.input_audio_buffer.append(audio="AAAA") for _ in range(20)))
            await connection.response.create()
            while "response.done" not in seen:
                with suppress(asyncio.TimeoutError):
                    seen.append((await asyncio.wait_for(connection.recv(), 0.001)).type)
        return seen

    assert asyncio.run(main()) == [
        "response.created",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.done",
    ]
    assert telemetry.attributes()["agentcost.cost.usd"] == pytest.approx(rt.USD)


def test_other_sockets_are_left_alone(telemetry: Telemetry) -> None:
    """Neither a server nor another protocol gets a session."""
    from websockets.sync.client import connect

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        yield event

    with (
        instrumented(telemetry),
        SocketServer(script) as server,
        connect(f"ws://127.0.0.1:{server.port}/realtime/v1/websocket") as connection,
    ):
        connection.send('{"type": "response.create"}')
        assert connection.recv() == '{"type":"response.create"}'
        assert not any(name.startswith("_agentcost") for name in vars(connection))
    assert telemetry.spans == ()


def test_a_session_that_outlives_the_instrumentation_goes_on(telemetry: Telemetry) -> None:
    """It is not measured any more."""
    with SocketServer(rt.Provider(), [rt.session()]) as server:
        with instrumented(telemetry):
            connection = client(server).realtime.connect(model=rt.MODEL).enter()
            connection.response.create()
            until(connection)
        connection.response.create()
        until(connection)
        connection.close()
    assert len(telemetry.spans) == 1
