"""Gemini's live interactions: one call each, priced when its end arrives over the socket, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai

import otel_agentcost
from otel_agentcost.telemetry.run_context import Run
from tests.integrations.sdks.test_gemini_interactions import ASK, USAGE, USD, interaction
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.one_address import one_address
from tests.support.socket_server import SocketServer

pytest.importorskip("google.genai._interactions_websocket", reason="this release of google-genai has none")
pytestmark = pytest.mark.filterwarnings("ignore:.*experimental.*")

DONE: dict[str, Any] = {"event_type": "interaction.completed", "usage": USAGE}


class Provider:
    """Answers the input, and ends the interaction with the events that it is given when it is asked to."""

    def __init__(self, *ends: dict[str, Any]) -> None:
        self.ends = ends

    def __call__(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        kind = event.get("event_type")
        if kind == "interaction.connect":
            yield {"event_type": "interaction.connected", "interaction_id": "int_1"}
        elif kind == "input":
            yield {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Forty-two"}}
        elif kind == "interaction.complete":
            yield from self.ends


def client(port: int) -> genai.Client:
    options: Any = {"base_url": f"http://127.0.0.1:{port}"}
    return genai.Client(api_key="none", http_options=options)


async def talk(port: int, *, completes: bool = True) -> list[Any]:
    seen: list[Any] = []
    async with client(port).aio.interactions.connect("int_1") as connection:
        await connection.send("6 x 7")
        if completes:
            await connection.complete()
            seen += [event async for event in connection.receive()]
    return seen


def run(telemetry: Telemetry, model_server: ModelServer, *ends: dict[str, Any], created: bool = True) -> Run:
    """Create an interaction, talk to it, and read it afterwards."""
    states = ["in_progress", "completed"]
    model_server.responder = lambda _: json_reply(interaction(states.pop(0) if len(states) > 1 else states[0]))
    with (
        SocketServer(Provider(*ends)) as server,
        one_address(int(model_server.url.rpartition(":")[2]), server.port) as port,
        budgeted(telemetry, budgets="total:usd=1"),
        otel_agentcost.run("job") as block,
    ):
        http = client(port)
        if created:
            http.interactions.create(**ASK, background=True)
            assert (block.cost_usd, block.unpriced_calls) == (None, 1)
        seen = asyncio.run(talk(port, completes=bool(ends)))
        assert not ends or seen[-1].event_type == "interaction.completed"
        if created:
            http.interactions.get("int_1")
    return block


@pytest.mark.parametrize("ends", [(DONE,), ({"events": [{"event_type": "step.stop", "index": 0}, DONE]},)])
def test_a_live_interaction_is_one_call(
    telemetry: Telemetry, model_server: ModelServer, ends: tuple[dict[str, Any], ...]
) -> None:
    """Of the code that has created it, charged once; reading it afterwards costs nothing."""
    block = run(telemetry, model_server, *ends)
    assert (block.llm_calls, float(block.cost_usd or 0), block.unpriced_calls) == (1, USD, 0)
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


def test_an_interaction_that_is_left_is_charged_when_it_is_read(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """It goes on without the connection."""
    block = run(telemetry, model_server)
    assert (block.llm_calls, float(block.cost_usd or 0), block.unpriced_calls) == (1, USD, 0)


def test_an_end_without_a_usage_is_charged_when_it_is_read(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The answer that is read has one."""
    block = run(telemetry, model_server, {"event_type": "interaction.completed"})
    assert (block.llm_calls, float(block.cost_usd or 0), block.unpriced_calls) == (1, USD, 0)


def test_an_interaction_of_elsewhere_says_that_it_has_no_price(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Another process has created it."""
    block = run(telemetry, model_server, DONE, created=False)
    assert (block.llm_calls, block.unpriced_calls) == (1, 1)
    said = telemetry.attributes("generate_content")
    assert "created elsewhere" in str(said["agentcost.unpriced"])
    assert said["gen_ai.usage.output_tokens"] == 100
