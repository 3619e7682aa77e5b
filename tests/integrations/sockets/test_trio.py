"""Sessions of the client of websockets for trio, which has it since release 16."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.integrations.sockets import realtime as rt
from tests.integrations.sockets.realtime import Start
from tests.support.in_memory import Telemetry
from tests.support.socket_server import SocketServer

trio: Any = pytest.importorskip("trio", reason="trio is not here: `make matrix`")
client: Any = pytest.importorskip("websockets.trio.client", reason="this release of websockets has none for trio")

ASK = json.dumps({"type": "response.create", "response": {"max_output_tokens": 200}})
SOUND = json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"})


@asynccontextmanager
async def connected(server: SocketServer) -> AsyncGenerator[Any]:
    """A connection to the local provider."""
    async with client.connect(f"ws://127.0.0.1:{server.port}/v1/realtime?model={rt.MODEL}") as made:
        yield made


async def read_until_done(connection: Any) -> list[str]:
    """The types of the events up to the end of a response."""
    kinds: list[str] = []
    while "response.done" not in kinds:
        kinds.append(json.loads(await connection.recv())["type"])
    return kinds


def test_a_response_is_one_call(start: Start, telemetry: Telemetry) -> None:
    """The dollars are those of the other clients."""
    server = start(rt.Provider())

    async def main() -> None:
        async with connected(server) as made:
            for _ in range(2):
                await made.send(ASK)
                await read_until_done(made)

    trio.run(main)
    priced = [dict(span.attributes or {})["agentcost.cost.usd"] for span in telemetry.spans]
    assert priced == [pytest.approx(rt.USD, abs=1e-15)] * 2


def test_fragments_are_one_message(start: Start, telemetry: Telemetry) -> None:
    """Of what is sent, and of what arrives."""
    server = start(rt.Provider())

    async def pieces() -> AsyncIterator[str]:
        for piece in (ASK[:10], ASK[10:]):
            yield piece

    async def main() -> None:
        async with connected(server) as made:
            await made.send(pieces())
            kinds: list[str] = []
            while "response.done" not in kinds:
                kinds.append(json.loads("".join([str(each) async for each in made.recv_streaming()]))["type"])

    trio.run(main)
    assert telemetry.attributes()["agentcost.cost.usd"] == pytest.approx(rt.USD, abs=1e-15)


def test_budgets_are_checked_at_each_response(start: Start, telemetry: Telemetry) -> None:
    """Nothing is sent, and the connection stays open."""
    server = start(rt.Provider(), budgets="total:calls=1")

    async def main() -> None:
        async with connected(server) as made:
            await made.send(ASK)
            await read_until_done(made)
            with pytest.raises(BudgetExceeded):
                await made.send(ASK)

    trio.run(main)
    assert server.types() == ["response.create"]
    assert telemetry.total("agentcost.budget.refusals") == 1


@pytest.mark.parametrize("closed_by", ["client", "server"])
def test_a_connection_that_ends_ends_its_call(start: Start, telemetry: Telemetry, closed_by: str) -> None:
    """By what has arrived, which is estimated."""

    def script(_event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        yield rt.created()
        yield rt.words("Forty-two. ")
        if closed_by == "server":
            yield None

    server = start(script)

    async def main() -> None:
        async with connected(server) as made:
            await made.send(ASK)
            for _ in range(3):
                await made.recv()
            if closed_by == "server":
                with pytest.raises(Exception, match=r"closed|close frame"):
                    await made.recv()

    trio.run(main)
    assert telemetry.attributes()["agentcost.usage.estimated"] is True


class Slow(MemoryLedger):
    """A ledger that takes a while to answer, as one behind a network."""

    blocking = True

    def reserve(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.3)
        return super().reserve(*args, **kwargs)


def test_a_refused_response_of_the_server_is_cancelled(start: Start) -> None:
    """Beside the reader, and without blocking the loop while the ledger is asked."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "input_audio_buffer.append":
            yield rt.created()
        elif event["type"] == "response.cancel":
            yield rt.done(status="cancelled")
        else:
            yield from rt.Provider()(event)

    server = start(script, budgets="total:calls=1", ledger=Slow())
    longest = 0.0

    async def main() -> None:
        async with trio.open_nursery() as nursery, connected(server) as made, connected(server) as other:
            nursery.start_soon(watch)
            await made.send(SOUND)  # admitted: nothing is spent yet
            await other.send(ASK)
            await read_until_done(other)
            with trio.fail_after(20):
                await read_until_done(made)
            nursery.cancel_scope.cancel()

    async def watch() -> None:
        nonlocal longest
        while True:
            last = time.monotonic()
            await trio.sleep(0.005)
            longest = max(longest, time.monotonic() - last)

    trio.run(main)
    assert "response.cancel" in server.types()
    assert longest < 0.25


def test_a_reader_that_is_cancelled_loses_no_message(start: Start, telemetry: Telemetry) -> None:
    """While the ledger is asked."""

    def by_itself(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if event["type"] == "input_audio_buffer.append":
            yield rt.created()
            yield rt.words("Forty-two.")
            yield rt.done()

    server = start(by_itself, budgets="total:usd=1", ledger=Slow())
    kinds: list[str] = []

    async def main() -> None:
        async with connected(server) as made:
            await made.send(SOUND)
            while "response.done" not in kinds:
                with trio.move_on_after(0.05):
                    kinds.append(json.loads(await made.recv())["type"])

    trio.run(main)
    assert kinds == ["session.created", "response.created", "response.output_text.delta", "response.done"]
    assert len(telemetry.spans) == 1
