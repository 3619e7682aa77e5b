"""Identical calls at the same time: one is made, and the others get its answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import ollama
import openai
import pytest
import trio
from anthropic import Anthropic
from openai import OpenAI

import otel_agentcost
from otel_agentcost.calls.replaying import limit_of
from otel_agentcost.savings.responses.cache import _seconds
from otel_agentcost.savings.responses.flights import Flight, runner
from tests.savings.responses.asked import ASK, STREAM, answer, ask, async_client, caching, words
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply

SLOW = 0.3
"""Seconds that the provider takes."""


def slowly(request: Request) -> Reply:
    """Answers after a while: identical calls are under way meanwhile."""
    time.sleep(SLOW)
    return answer(request)


def test_threads_wait_for_one(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Eight identical calls at the same time are one request and seven hits."""
    model_server.responder = slowly
    with caching(model_server, telemetry) as made, ThreadPoolExecutor(8) as pool:
        said = set(pool.map(lambda _: words(made), range(8)))
    assert (len(said), len(model_server.requests)) == (1, 1)
    hits = [span for span in telemetry.spans if (span.attributes or {}).get("agentcost.cache") == "hit"]
    assert len(hits) == 7


def test_other_questions_do_not_wait(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Different calls run side by side."""
    model_server.responder = slowly
    with caching(model_server, telemetry) as made, ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        list(pool.map(lambda number: words(made, f"q{number}"), range(8)))
    assert len(model_server.requests) == 8
    assert time.monotonic() - began < 8 * SLOW


@pytest.mark.parametrize("store", ["memory://", "sqlite"])
def test_tasks_wait_for_one_and_the_loop_goes_on(
    store: str, model_server: ModelServer, telemetry: Telemetry, tmp_path: Path
) -> None:
    """Other tasks of the event loop run meanwhile, with every store."""
    model_server.responder = slowly
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def main() -> set[Any]:
        ticking = asyncio.create_task(tick())
        async with async_client(model_server) as made:
            answers = await asyncio.gather(*(made.chat.completions.create(**ASK) for _ in range(8)))
        ticking.cancel()
        return {each.choices[0].message.content for each in answers}

    url = store if store == "memory://" else f"sqlite:///{tmp_path}/cache.db"
    with caching(model_server, telemetry, cache_store=url), otel_agentcost.attribute(tenant="acme"):
        said = asyncio.run(main())
    assert (len(said), len(model_server.requests)) == (1, 1)
    assert max(later - before for before, later in pairwise(ticks)) < SLOW


def test_tasks_of_trio_wait_for_one(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Tasks of trio wait as those of asyncio do."""
    model_server.responder = slowly
    said: set[Any] = set()

    async def one(made: Any) -> None:
        said.add((await made.chat.completions.create(**ASK)).choices[0].message.content)

    async def main() -> None:
        async with async_client(model_server) as made, trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one, made)

    with caching(model_server, telemetry):
        trio.run(main)
    assert (len(said), len(model_server.requests)) == (1, 1)


def test_nobody_waits_for_a_stream(model_server: ModelServer, telemetry: Telemetry) -> None:
    """An application reads it when it likes, or leaves it without closing it. The next one gets what was read whole."""
    with caching(model_server, telemetry) as made, ThreadPoolExecutor(1) as other:
        began = time.monotonic()
        left = made.chat.completions.create(**STREAM)
        for _ in left:
            break
        assert other.submit(lambda: list(made.chat.completions.create(**STREAM))).result()
        assert list(made.chat.completions.create(**STREAM))
        left.close()
    assert time.monotonic() - began < 5
    assert len(model_server.requests) == 2


def test_nobody_waits_for_a_response_that_is_not_read(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A whole answer is waited for until its response is there, not until the application reads it."""
    with caching(model_server, telemetry) as made, ThreadPoolExecutor(1) as other:
        began = time.monotonic()
        with made.chat.completions.with_streaming_response.create(**ASK):
            assert other.submit(words, made).result()
    assert time.monotonic() - began < 5
    assert len(model_server.requests) == 2


@pytest.mark.parametrize("store", ["memory://", "sqlite"])
def test_a_task_does_not_wait_for_itself(
    store: str, model_server: ModelServer, telemetry: Telemetry, tmp_path: Path
) -> None:
    """This holds for every store, and for every thread that asks it."""

    async def main() -> None:
        async with async_client(model_server) as made:
            for seed in range(3):
                whole: list[dict[str, Any]] = [{**ASK, "seed": number} for number in range(6)]
                streamed: dict[str, Any] = {**STREAM, "seed": seed}
                others = [asyncio.create_task(made.chat.completions.create(**each)) for each in whole]
                streams = [await made.chat.completions.create(**streamed) for _ in range(2)]
                await asyncio.gather(*others)
                for stream in streams:
                    await stream.close()

    url = store if store == "memory://" else f"sqlite:///{tmp_path}/cache.db"
    with caching(model_server, telemetry, cache_store=url):
        began = time.monotonic()
        asyncio.run(main())
    assert time.monotonic() - began < 10


def test_a_flight_knows_the_task_that_began_it() -> None:
    """Not the worker threads in which the store is asked."""

    async def main() -> None:
        own = runner()
        flight = Flight(own)
        assert await asyncio.to_thread(flight.is_of, own)
        assert not flight.is_of(await asyncio.to_thread(runner))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("client", "seconds"),
    [
        (OpenAI(api_key="none", timeout=7), 7),
        (OpenAI(api_key="none", timeout=httpx2.Timeout(9)), 9),
        (Anthropic(api_key="none", timeout=7), 7),
        (ollama.Client(timeout=7), None),
        (SimpleNamespace(timeout=7000), None),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_limit_is_known_for_sure_or_not_at_all(client: Any, seconds: float | None) -> None:
    """Some SDKs have milliseconds. Who has no limit that is known waits for five seconds at most."""
    assert limit_of(client, (), {}) == seconds
    assert _seconds(None) == 5


def test_if_the_one_fails_the_others_make_their_own_calls(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Each gets the provider's own error."""

    def fail(request: Request) -> Reply:
        time.sleep(SLOW)
        return json_reply({"error": {"message": "no"}}, status=400)

    model_server.responder = fail

    def refused(made: Any) -> None:
        with pytest.raises(openai.BadRequestError):
            ask(made)

    with caching(model_server, telemetry) as made, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: refused(made), range(4)))
    assert len(model_server.requests) == 4


def test_a_cancelled_task_lets_the_others_go_on(model_server: ModelServer, telemetry: Telemetry) -> None:
    """They make their own calls at once."""
    model_server.responder = slowly

    async def main() -> None:
        async with async_client(model_server) as made:
            first = asyncio.create_task(made.chat.completions.create(**ASK))
            await asyncio.sleep(SLOW / 6)
            second = asyncio.create_task(made.chat.completions.create(**ASK))
            third = asyncio.create_task(made.chat.completions.create(**ASK))
            await asyncio.sleep(SLOW / 6)
            third.cancel()
            first.cancel()
            assert (await second).choices

    with caching(model_server, telemetry):
        began = time.monotonic()
        asyncio.run(main())
    assert time.monotonic() - began < 5
    assert len(model_server.requests) == 2


def test_a_call_waits_no_longer_than_its_own_limit(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Then it makes its own call, which has the limit that it has without a cache."""
    hold = threading.Event()

    def held(request: Request) -> Reply:
        hold.wait(20)
        return answer(request)

    model_server.responder = held
    with caching(model_server, telemetry) as made, ThreadPoolExecutor(2) as pool:
        first = pool.submit(words, made)
        while not model_server.requests:
            time.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            words(made.with_options(timeout=0.2))
        assert time.monotonic() - began < 5
        hold.set()
        assert first.result()
    assert len(model_server.requests) == 2


WORKER = """
import sys, otel_agentcost
from otel_agentcost.settings import Settings
from openai import OpenAI
url, store = sys.argv[1:]
otel_agentcost.instrument(settings=Settings(cache=("exact",), cache_store=store))
with OpenAI(base_url=url, api_key="none", max_retries=0) as client, otel_agentcost.attribute(tenant="acme"):
    print("ready", flush=True)
    sys.stdin.readline()
    answer = client.chat.completions.create(
        model="gpt-4o-mini", temperature=0, messages=[{"role": "user", "content": "What is the answer?"}]
    )
    print(answer.choices[0].message.content, flush=True)
"""


def processes(server: ModelServer, store: str, number: int = 2) -> list[str]:
    """What each of several processes is answered, which ask at the same time."""
    command = [sys.executable, "-c", WORKER, f"{server.url}/v1", store]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(number)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    return [worker.communicate(timeout=60)[0] for worker in workers]


def test_processes_with_one_store_make_one_call(model_server: ModelServer, tmp_path: Path) -> None:
    """Two processes that ask at the same time get one answer."""
    model_server.responder = slowly
    said = processes(model_server, f"sqlite:///{tmp_path}/cache.db")
    assert said[0].startswith("answer")
    assert (len(set(said)), len(model_server.requests)) == (1, 1)
