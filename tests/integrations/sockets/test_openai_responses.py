"""OpenAI responses over a socket: each is a call like one over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseCreatedEvent, ResponseTextDeltaEvent
from openai.types.responses.response_completed_event import ResponseCompletedEvent

from otel_agentcost import BudgetExceeded
from otel_agentcost.settings import Settings
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.socket_server import Script, SocketServer

# openai uses the synchronous client of websockets in a way that websockets 17 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")

MODEL = "gpt-5.2"
USAGE: dict[str, Any] = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 400},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 1300,
}
USD = (600 * 1.75 + 400 * 0.175 + 300 * 14) / 1e6

Start = Callable[..., SocketServer]


def response(number: int, usage: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "output": [],
    }
    whole = Response.construct(**fields, status="completed" if usage else "in_progress", usage=usage)
    return {**whole.to_dict(mode="json"), **more}


def created(number: int, **lane: Any) -> dict[str, Any]:
    event = ResponseCreatedEvent.construct(type="response.created", sequence_number=0, response=response(number, None))
    return {**event.to_dict(mode="json"), **lane}


def words(text: str, **lane: Any) -> dict[str, Any]:
    event = ResponseTextDeltaEvent.construct(
        type="response.output_text.delta", delta=text, item_id="i", output_index=0, content_index=0, sequence_number=1
    )
    return {**event.to_dict(mode="json"), **lane}


def completed(number: int, usage: dict[str, Any] | None = None, kind: str = "completed", **lane: Any) -> dict[str, Any]:
    whole = response(number, usage or USAGE, status=kind)
    event = ResponseCompletedEvent.construct(type="response.completed", sequence_number=2, response=whole)
    return {**event.to_dict(mode="json"), "type": f"response.{kind}", **lane}


class Provider:
    """Answers each request."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        self.count += 1
        yield created(self.count)
        yield words("Hello")
        yield completed(self.count)


@pytest.fixture
def start(telemetry: Telemetry) -> Iterator[Start]:
    """Instruments with the settings that it is given, and starts a server."""
    with ExitStack() as stack:

        def begin(script: Script, **settings: Any) -> SocketServer:
            stack.enter_context(instrumented(telemetry, settings=Settings(**settings)))
            return stack.enter_context(SocketServer(script))

        yield begin


def connect(server: SocketServer) -> Any:
    client = openai.OpenAI(api_key="key", base_url=f"http://127.0.0.1:{server.port}/v1")
    return client.responses.connect()


def until(connection: Any, *last: str) -> list[Any]:
    events: list[Any] = []
    for event in connection:
        events.append(event)
        if event.type in (last or ("response.completed",)):
            break
    return events


def test_a_response_is_one_call_with_exact_dollars(start: Start, telemetry: Telemetry) -> None:
    """With its reasoning, and what came from the cache."""
    server = start(Provider())
    with connect(server) as connection:
        for _ in range(2):
            connection.response.create(model=MODEL, input="What?", max_output_tokens=400)
            until(connection)
    first, second = telemetry.spans
    for span in (first, second):
        attributes = dict(span.attributes or {})
        assert span.name == "chat gpt-5.2"
        assert attributes["agentcost.cost.usd"] == pytest.approx(USD)
        assert attributes["gen_ai.usage.reasoning.output_tokens"] == 200
        assert attributes["gen_ai.usage.cache_read.input_tokens"] == 400
        assert attributes["gen_ai.request.max_tokens"] == 400
        assert attributes["gen_ai.request.stream"] is True


def test_an_async_response_is_one_call(start: Start, telemetry: Telemetry) -> None:
    """So is one of the other client."""
    server = start(Provider())

    async def main() -> None:
        client = openai.AsyncOpenAI(api_key="key", base_url=f"http://127.0.0.1:{server.port}/v1")
        async with client.responses.connect() as connection:
            await connection.response.create(model=MODEL, input="What?")
            async for event in connection:
                if event.type == "response.completed":
                    break

    asyncio.run(main())
    assert telemetry.attributes()["agentcost.cost.usd"] == pytest.approx(USD)


def test_a_refused_response_is_not_sent(start: Start, telemetry: Telemetry) -> None:
    """The refusal raises out of `create`."""
    server = start(Provider(), budgets="total:usd=0.02")
    with connect(server) as connection:
        for _ in range(3):
            connection.response.create(model=MODEL, input="What?", max_output_tokens=400)
            until(connection)
        with pytest.raises(BudgetExceeded):
            connection.response.create(model=MODEL, input="What?", max_output_tokens=400)
    assert len(server.received) == 3
    assert telemetry.total("agentcost.cost") == pytest.approx(3 * USD)


def test_a_downgraded_response_asks_another_model(start: Start, telemetry: Telemetry) -> None:
    """Everything else of the event is sent as it was."""
    server = start(Provider(), budgets="total:usd=0.002,on_exceed=downgrade", downgrade={"gpt-5.2": "gpt-5-nano"})
    with connect(server) as connection:
        connection.response.create(model=MODEL, input="What?", max_output_tokens=400, metadata={"a": "b"})
        until(connection)
    (sent,) = server.received
    assert sent == {
        "type": "response.create",
        "input": "What?",
        "max_output_tokens": 400,
        "metadata": {"a": "b"},
        "model": "gpt-5-nano",
    }
    assert telemetry.attributes()["agentcost.downgraded_from"] == MODEL


def test_lanes_are_not_mixed_up(start: Start, telemetry: Telemetry) -> None:
    """Each has its own request, texts and usage."""
    small = {**USAGE, "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 300}

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["stream_id"] == "b":
            yield created(2, stream_id="b")
            yield created(1, stream_id="a")
            yield words("one", stream_id="a")
            yield words("two", stream_id="b")
            yield completed(1, stream_id="a")
            yield completed(2, small, stream_id="b")

    server = start(script)
    with connect(server) as connection:
        connection.response.create(model=MODEL, input="a", temperature=0.25, stream_id="a")
        connection.response.create(model=MODEL, input="b", temperature=0.75, stream_id="b")
        until(connection)
        until(connection)
    by_id = {(span.attributes or {})["gen_ai.response.id"]: span.attributes or {} for span in telemetry.spans}
    assert by_id["resp_1"]["gen_ai.request.temperature"] == 0.25
    assert by_id["resp_2"]["gen_ai.request.temperature"] == 0.75
    assert by_id["resp_1"]["agentcost.cost.usd"] == pytest.approx(USD)
    assert by_id["resp_2"]["agentcost.cost.usd"] == pytest.approx((10 * 1.75 + 300 * 14) / 1e6)


def test_a_request_that_the_server_rejects_costs_nothing(start: Start, telemetry: Telemetry) -> None:
    """The reservation is given back."""
    error = {
        "type": "error",
        "status": 404,
        "error": {"type": "x", "code": "previous_response_not_found", "message": ""},
    }
    server = start(lambda _event: [error], budgets="total:usd=1")
    with connect(server) as connection:
        connection.response.create(model=MODEL, input="What?", previous_response_id="resp_0")
        until(connection, "error")
    attributes = telemetry.attributes()
    assert attributes["error.type"] == "404"
    assert "agentcost.cost.usd" not in attributes
    assert "agentcost.unpriced" not in attributes


@pytest.mark.parametrize("broken", [False, True])
def test_an_unfinished_response_is_estimated_and_says_so(broken: bool, start: Start, telemetry: Telemetry) -> None:
    """By its words."""
    events = [created(1), words("Hello, how "), words("are you today?"), *([None] if broken else [])]
    server = start(lambda _event: events)
    connection = connect(server).enter()
    connection.response.create(model=MODEL, input="Greet me, please.")
    for _ in range(3):
        connection.recv()
    connection.close()
    attributes: Any = telemetry.attributes()
    assert attributes["agentcost.usage.estimated"] is True
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert 3 <= attributes["gen_ai.usage.input_tokens"] <= 20


def test_a_successor_that_the_server_begins_is_a_call_of_its_own(start: Start, telemetry: Telemetry) -> None:
    """After the application has steered a response."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield created(1)
        else:
            yield {"type": "response.steer.accepted", "steer": {"id": "s", "previous_response_id": "resp_1"}}
            yield completed(1, kind="incomplete")
            yield created(2)
            yield completed(2)

    server = start(script)
    with connect(server) as connection:
        connection.response.create(model=MODEL, input="What?")
        connection.response.steer(input="Shorter!", previous_response_id="resp_1")
        until(connection)
    assert [(span.attributes or {})["gen_ai.response.id"] for span in telemetry.spans] == ["resp_1", "resp_2"]
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * USD)


def test_a_request_that_is_only_prepared_is_no_guess(start: Start, telemetry: Telemetry) -> None:
    """OpenAI does not say what it costs."""

    def script(_event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        yield created(1)
        yield {**completed(1), "response": {**completed(1)["response"], "usage": None}}

    server = start(script)
    with connect(server) as connection:
        connection.response.create(model=MODEL, input="What?", generate=False)
        until(connection)
    assert "generate: false" in str(telemetry.attributes()["agentcost.unpriced"])
