"""An event that ends no turn costs next to nothing, counted in bytecode instructions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integrations.sockets import realtime as rt
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.socket_server import Script, SocketServer
from tools.opcodes import executed

pytestmark = rt.DEPRECATED

OTHERS: list[dict[str, Any]] = [
    {"type": "rate_limits.updated", "event_id": "r", "rate_limits": []},
    {"type": "response.output_audio.done", "event_id": "r", "response_id": "resp_1", "item_id": "i"},
]


def provider(rounds: int) -> Script:
    """Answers with so many rounds of four pieces."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "response.create":
            yield rt.created()
            yield from [rt.spoken("word"), rt.sound(100), *OTHERS] * rounds
            yield rt.done()

    return script


def instructions(rounds: int) -> tuple[int, int]:
    """The instructions of this package, and those of openai and websockets, in the thread that reads."""
    with SocketServer(provider(rounds), [rt.session()]) as server:
        rt.ask(server)
        counts = executed(lambda: rt.ask(server))
    own = sum(count for (code, _), count in counts.items() if "otel_agentcost" in code.co_filename)
    return own, counts.total() - own


def test_an_event_costs_a_small_part_of_its_reading(telemetry: Telemetry) -> None:
    """Measured were 196 instructions beside 1,370 of openai and websockets."""
    with instrumented(telemetry):
        few, many = instructions(10), instructions(60)
    own, others = ((after - before) / 200 for before, after in zip(few, many, strict=True))
    assert own < 240
    assert own / others < 0.2


@pytest.mark.parametrize("length", [100, 1_000_000])
def test_a_long_event_costs_no_more_than_a_short_one(length: int) -> None:
    """Neither parsed nor searched to its end."""
    from otel_agentcost.integrations.sockets._session import kind_of

    message = json.dumps({"type": "response.output_audio.delta", "event_id": "e", "delta": "A" * length})
    assert kind_of(message) == "response.output_audio.delta"
    assert kind_of(message.encode()) == "response.output_audio.delta"
    assert executed(lambda: kind_of(message)).total() < 60
