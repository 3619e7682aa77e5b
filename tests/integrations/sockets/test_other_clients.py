"""Sessions of the legacy client of websockets and of aiohttp, fragments, and ledgers that block."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.sync.client import connect

from otel_agentcost import BudgetExceeded
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.integrations.sockets import realtime as rt
from tests.integrations.sockets.realtime import Start
from tests.support.in_memory import Telemetry
from tests.support.socket_server import SocketServer

ASK = json.dumps({"type": "response.create", "response": {"max_output_tokens": 200}})
SOUND = json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"})


def address(server: SocketServer) -> str:
    return f"ws://127.0.0.1:{server.port}/v1/realtime?model={rt.MODEL}"


class Client:
    """A connection, by whatever client: `send` and `recv` events, `close`."""

    def __init__(self, send: Callable[[str], Awaitable[Any]], recv: Callable[[], Awaitable[Any]], close: Any) -> None:
        self.send, self.recv, self.close = send, recv, close


async def newest(server: SocketServer) -> Client:
    made = await websockets.connect(address(server))
    return Client(made.send, made.recv, made.close)


async def legacy(server: SocketServer) -> Client:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from websockets.legacy.client import connect as connect_legacy

        made: Any = await connect_legacy(address(server))
    return Client(made.send, made.recv, made.close)


async def of_aiohttp(server: SocketServer) -> Client:
    session = aiohttp.ClientSession()
    made = await session.ws_connect(address(server))

    async def close() -> None:
        await made.close()
        await session.close()

    return Client(made.send_str, made.receive_str, close)


CLIENTS = {"websockets": newest, "legacy": legacy, "aiohttp": of_aiohttp}
of_all = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
Connect = Callable[[SocketServer], Awaitable[Client]]


async def read_until_done(client: Client) -> list[str]:
    kinds: list[str] = []
    while "response.done" not in kinds:
        kinds.append(json.loads(await client.recv())["type"])
    return kinds


@of_all
def test_a_response_is_one_call(client: Connect, start: Start, telemetry: Telemetry) -> None:
    """The dollars are those of the SDK's own client."""
    server = start(rt.Provider())

    async def main() -> None:
        made = await client(server)
        for _ in range(2):
            await made.send(ASK)
            await read_until_done(made)
        await made.close()

    asyncio.run(main())
    priced = [dict(span.attributes or {})["agentcost.cost.usd"] for span in telemetry.spans]
    assert priced == [pytest.approx(rt.USD, abs=1e-15)] * 2


@of_all
def test_budgets_are_checked_at_each_response(client: Connect, start: Start, telemetry: Telemetry) -> None:
    """Nothing is sent, and the connection stays open."""
    server = start(rt.Provider(), budgets="total:calls=1")

    async def main() -> None:
        made = await client(server)
        await made.send(ASK)
        await read_until_done(made)
        with pytest.raises(BudgetExceeded):
            await made.send(ASK)
        await made.close()

    asyncio.run(main())
    assert server.types() == ["response.create"]
    assert telemetry.total("agentcost.budget.refusals") == 1


@of_all
def test_a_connection_that_breaks_ends_its_call(client: Connect, start: Start, telemetry: Telemetry) -> None:
    """By what has arrived, which is estimated."""

    def script(_event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        yield rt.created()
        yield rt.words("Forty-two. ")
        yield None

    server = start(script)

    async def main() -> None:
        made = await client(server)
        await made.send(ASK)
        with pytest.raises(Exception, match=r"."):
            await read_until_done(made)
        await made.close()

    asyncio.run(main())
    (span,) = telemetry.spans
    assert (span.attributes or {})["agentcost.usage.estimated"] is True


def test_other_sockets_are_left_alone(start: Start, telemetry: Telemetry) -> None:
    """Messages of all types pass, and pings, and JSON in bytes."""
    server = start(lambda event: [{"echo": event}])

    async def main() -> None:
        url = f"ws://127.0.0.1:{server.port}/chat"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as made:
            await made.receive()
            await made.send_json({"a": 1})
            assert await made.receive_json() == {"echo": {"a": 1}}
            await made.send_bytes(b'{"b": 2}')
            assert (await made.receive()).json() == {"echo": {"b": 2}}

    asyncio.run(main())
    assert telemetry.spans == ()


# --- Fragments --------------------------------------------------------------------------------------------------------


def pieces() -> Iterator[str]:
    yield from (ASK[:10], ASK[10:20], ASK[20:])


async def pieces_async() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece.encode()


def in_a_thread(server: SocketServer) -> None:
    with connect(address(server)) as made:
        made.send(pieces())
        kinds: list[str] = []
        while "response.done" not in kinds:
            kinds.append(json.loads("".join(map(str, made.recv_streaming())))["type"])


def awaited(server: SocketServer) -> None:
    async def main() -> None:
        async with websockets.connect(address(server)) as made:
            await made.send(pieces_async())
            kinds: list[str] = []
            while "response.done" not in kinds:
                kinds.append(json.loads("".join([str(each) async for each in made.recv_streaming()]))["type"])

    asyncio.run(main())


def of_legacy(server: SocketServer) -> None:
    async def main() -> None:
        made = await legacy(server)
        await made.send(list(pieces()))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await read_until_done(made)
        await made.close()

    asyncio.run(main())


@pytest.mark.parametrize("ask", [in_a_thread, awaited, of_legacy])
def test_fragments_are_one_message(ask: Callable[[SocketServer], None], start: Start, telemetry: Telemetry) -> None:
    """Of what is sent, and of what arrives."""
    server = start(rt.Provider())
    ask(server)
    (span,) = telemetry.spans
    assert (span.attributes or {})["agentcost.cost.usd"] == pytest.approx(rt.USD, abs=1e-15)
    assert server.received == [json.loads(ASK)]


def test_a_refused_message_in_fragments_is_not_sent(start: Start) -> None:
    """None of its fragments is."""
    server = start(rt.Provider(), budgets="total:usd=0.0000001")
    with connect(address(server)) as made, pytest.raises(BudgetExceeded):
        made.send(pieces())
    assert server.received == []


# --- Ledgers that block -----------------------------------------------------------------------------------------------


class Slow(MemoryLedger):
    """A ledger that takes a while to answer, as one behind a network."""

    blocking = True

    def reserve(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.5)
        return super().reserve(*args, **kwargs)


async def longest_pause(until: asyncio.Event) -> float:
    """The longest time for which the event loop did nothing."""
    longest, last = 0.0, time.monotonic()
    while not until.is_set():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


def run_with_sound(client: Connect, server: SocketServer) -> tuple[list[str], float]:
    """Send sound, to which the server answers by itself, and read to the end. Returns the pause of the loop, too."""

    async def main() -> tuple[list[str], float]:
        over = asyncio.Event()
        made = await client(server)
        pause = asyncio.create_task(longest_pause(over))
        await made.send(SOUND)
        kinds = await read_until_done(made)
        over.set()
        found = await pause
        await made.close()
        return kinds, found

    return asyncio.run(main())


def by_itself(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A server that detects speech."""
    if event["type"] == "input_audio_buffer.append":
        yield rt.created()
        yield rt.words("Forty-two.")
        yield rt.done()


@of_all
def test_a_blocking_ledger_does_not_block_the_loop(client: Connect, start: Start, telemetry: Telemetry) -> None:
    """When the server begins a response by itself. The response counts in the budgets all the same."""
    server = start(by_itself, budgets="total:usd=1", ledger=Slow())
    kinds, pause = run_with_sound(client, server)
    assert kinds == ["session.created", "response.created", "response.output_text.delta", "response.done"]
    assert pause < 0.3
    (span,) = telemetry.spans
    assert (span.attributes or {})["agentcost.cost.usd"] == pytest.approx(rt.USD, abs=1e-15)


@of_all
def test_a_refused_response_of_the_server_is_cancelled(client: Connect, start: Start) -> None:
    """A little later than with a ledger that does not block."""

    def script(event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if event["type"] == "input_audio_buffer.append":
            yield rt.created()
        elif event["type"] == "response.cancel":
            yield rt.done(status="cancelled")
        else:
            yield from rt.Provider()(event)

    server = start(script, budgets="total:calls=1", ledger=Slow())

    async def main() -> None:
        made = await client(server)
        await made.send(SOUND)  # admitted: nothing is spent yet
        other = await client(server)
        await other.send(ASK)
        await read_until_done(other)
        assert await asyncio.wait_for(read_until_done(made), timeout=20)
        await other.close()
        await made.close()

    asyncio.run(main())
    assert "response.cancel" in server.types()


@of_all
def test_a_reader_that_is_cancelled_loses_no_message(client: Connect, start: Start, telemetry: Telemetry) -> None:
    """While the ledger is asked."""
    server = start(by_itself, budgets="total:usd=1", ledger=Slow())

    async def main() -> list[str]:
        made = await client(server)
        await made.send(SOUND)
        kinds: list[str] = []
        while "response.done" not in kinds:
            with suppress(asyncio.TimeoutError):
                kinds.append(json.loads(await asyncio.wait_for(made.recv(), timeout=0.1))["type"])
        await made.close()
        return kinds

    kinds = asyncio.run(main())
    assert kinds == ["session.created", "response.created", "response.output_text.delta", "response.done"]
    assert len(telemetry.spans) == 1
