"""For whom and for what a call is made: from the code, from baggage, from the environment, wherever the call runs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context

import otel_agentcost
from otel_agentcost import attribute
from otel_agentcost.settings import from_environment
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import ask, ask_async, client

KEYS = {
    "user": "user.id",
    "tenant": "agentcost.tenant",
    "team": "agentcost.team",
    "feature": "agentcost.feature",
    "agent": "gen_ai.agent.name",
    "conversation": "gen_ai.conversation.id",
}
ALL = {name: f"some {name}" for name in KEYS}


def users(telemetry: Telemetry) -> list[object]:
    """Whom each call was for, in the order in which the calls ended."""
    return [(span.attributes or {}).get("user.id") for span in telemetry.spans]


def given_to(telemetry: Telemetry) -> dict[str, object]:
    """The attribution of the only call."""
    attributes = telemetry.attributes("chat gpt-4o-mini")
    return {name: attributes[key] for name, key in KEYS.items() if key in attributes}


def test_from_the_code(telemetry: Telemetry) -> None:
    """`attribute(...)` puts every one of its values on the spans inside the block, and on none after it."""
    with instrumented(telemetry):
        with attribute(**ALL):
            ask()
        assert given_to(telemetry) == ALL
        telemetry.clear()
        ask()
        assert given_to(telemetry) == {}


def test_from_baggage(telemetry: Telemetry) -> None:
    """Baggage that came with a request counts, under the names of the attributes."""
    ctx = context.get_current()
    for name, key in KEYS.items():
        ctx = baggage.set_baggage(key, f"some {name}", ctx)
    token = context.attach(ctx)
    with instrumented(telemetry):
        ask()
    context.detach(token)
    assert given_to(telemetry) == ALL


def test_from_the_environment(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_AGENTCOST_USER` and the others say it for the whole process."""
    for name, value in ALL.items():
        monkeypatch.setenv(f"OTEL_AGENTCOST_{name.upper()}", value)
    with instrumented(telemetry):
        ask()
    assert given_to(telemetry) == ALL


def test_the_nearest_wins(telemetry: Telemetry) -> None:
    """The code beats baggage, baggage beats the environment, and an inner block beats an outer one."""
    token = context.attach(baggage.set_baggage("agentcost.team", "baggage"))
    settings = from_environment({}, user="env", team="env", tenant="env")
    outer, inner = attribute(user="outer", feature="outer"), attribute(feature="inner")
    with instrumented(telemetry, settings=settings), outer, inner:
        ask()
    context.detach(token)
    assert given_to(telemetry) == {"user": "outer", "feature": "inner", "team": "baggage", "tenant": "env"}


async def test_tasks_and_gather_are_kept_apart(telemetry: Telemetry) -> None:
    """Concurrent tasks each have their own user, also in the tasks that they start."""

    async def work(user: str) -> None:
        with attribute(user=user):
            await asyncio.sleep(0)
            await asyncio.gather(ask_async(), asyncio.create_task(ask_async()))

    with instrumented(telemetry):
        await asyncio.gather(*(work(f"u{number}") for number in range(10)))
    assert sorted(str(user) for user in users(telemetry)) == sorted([f"u{number}" for number in range(10)] * 2)


async def test_to_thread(telemetry: Telemetry) -> None:
    """`asyncio.to_thread` carries the user along."""
    with instrumented(telemetry), attribute(user="u1"):
        await asyncio.to_thread(ask)
    assert users(telemetry) == ["u1"]


def test_threads_and_pools(telemetry: Telemetry) -> None:
    """Threads and pools that are started inside the block work for its user."""
    made = client()
    with instrumented(telemetry):
        with attribute(user="u1"):
            thread = threading.Thread(target=ask, args=(made,))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(2) as pool:
                pool.submit(ask, made).result()
                with attribute(user="u2"):
                    pool.submit(ask, made).result()
        ask(made)
    assert users(telemetry) == ["u1", "u1", "u2", None]


def test_as_a_decorator(telemetry: Telemetry) -> None:
    """A decorated function works for its user on every call."""

    @attribute(user="u1")
    def work() -> None:
        ask()

    with instrumented(telemetry):
        work()
        work()
    assert users(telemetry) == ["u1", "u1"]


def test_tools_too(telemetry: Telemetry) -> None:
    """A hand-written tool's dollars go to whom its calls are made for."""

    @otel_agentcost.tool(usd="0.01")
    def search() -> None:
        return None

    with instrumented(telemetry), attribute(user="u1"):
        search()
    assert telemetry.total("agentcost.cost", user__id="u1", gen_ai__tool__name="search") == 0.01


def test_attribution_leaves_no_baggage(telemetry: Telemetry) -> None:
    """What is said in the code never leaves the process in a header."""
    with instrumented(telemetry), attribute(**ALL):
        assert baggage.get_all() == {}
