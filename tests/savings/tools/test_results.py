"""The tool cache with hand-written tools: in which scope and how long it answers, what it costs, what is never kept."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import Settings, attribute
from otel_agentcost.core import semconv
from otel_agentcost.savings.stores import open_store
from otel_agentcost.savings.tools.values import MOST_BYTES
from tests.integrations.tools.one_tool_call import repeats, tool_spans
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.redis_server import Server

ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """No tool has run yet."""
    ran.clear()


@dataclass
class Page:
    """A result with a type of its own."""

    title: str
    seen: date
    words: list[str]


@otel_agentcost.tool(cache="10m", usd="0.25")
def look(query: Any, *, depth: int = 1) -> Any:
    """Looks something up."""
    ran.append((query, depth))
    return Page(str(query), date(2026, 1, 1), ["a", "b"])


@otel_agentcost.tool(cache="10m", usd="0.25")
async def look_async(query: Any) -> dict[str, Any]:
    """Looks something up."""
    ran.append(query)
    await asyncio.sleep(0)
    return {"query": query, "found": [1, 2.5, None, True]}


@otel_agentcost.tool
def plain(query: str) -> str:
    """Has no rule of its own."""
    ran.append(query)
    return f"plain {query}"


def hits(telemetry: Telemetry) -> int:
    return sum(semconv.CACHE in (span.attributes or {}) for span in tool_spans(telemetry))


def test_a_hit_is_a_copy_and_costs_nothing(telemetry: Telemetry) -> None:
    """The same type and content; what the application does to it changes no other; the span says what it is."""
    with instrumented(telemetry):
        first = look("bees")
        second = look("bees", depth=1)
        second.words.append("changed")
        first.words.clear()
        third = look("bees")
    assert len(ran) == 1
    assert third == Page("bees", date(2026, 1, 1), ["a", "b"])
    assert type(third) is Page
    last: dict[str, Any] = dict(tool_spans(telemetry)[-1].attributes or {})
    assert last[semconv.CACHE] == "hit"
    assert 0 <= last[semconv.CACHE_AGE] < 5
    assert semconv.COST not in last
    assert telemetry.total("agentcost.cost") == 0.25
    assert telemetry.total("agentcost.savings", agentcost__savings__kind="tool_cache") == 0.5


def test_every_argument_counts(telemetry: Telemetry) -> None:
    """Arguments that differ in anything, their types too, are other calls; their order and defaults are not."""
    queries: list[Any] = [
        "1", 1, 1.0, True, None, [1], (1,), {"a": 1, "b": 2}, {"a": {"b": 2}}, Decimal(1), b"1",
        {1}, "\u00e9", "e\u0301",
        Page("x", date(2026, 1, 1), []), ["1"], [[1], []], [[], [1]], {"1": 2}, {1: 2}, "", {}, date(2026, 1, 1),
    ]  # fmt: skip
    with instrumented(telemetry):
        for query in queries:
            look(query)
        assert len(ran) == len(queries)
        for query in queries:
            look(query)
        look({"b": 2, "a": 1})
        assert len(ran) == len(queries)
        look("1", depth=2)
    assert len(ran) == len(queries) + 1


def test_a_rule_of_the_settings(telemetry: Telemetry) -> None:
    """The exact name in the settings counts before the code, and the code before a pattern; `off` is off."""
    for rules, expected in (
        ("", 2), ("plain=1m", 1), ("pl*=1m", 1), ("p*=1m,plain=off", 2), ("off", 2), ("auto", 2),
    ):  # fmt: skip
        ran.clear()
        with instrumented(telemetry, settings=Settings(tool_cache=rules)):
            plain("x")
            plain("x")
        assert len(ran) == expected, rules
    for rules, expected in (("", 1), ("look=off", 2), ("look*=off", 1), ("off", 2)):
        ran.clear()
        with instrumented(telemetry, settings=Settings(tool_cache=rules)):
            look("x")
            look("x")
        assert len(ran) == expected, rules


def test_what_is_too_old_is_bought_again(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result answers until its time has come, counted from when the tool returned it."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    from otel_agentcost import runtime

    clock = runtime.Clock(wall=lambda: now[0])
    runtime.start(settings=Settings(), clock=clock, tracer_provider=telemetry.tracer_provider)
    try:
        look("x")
        now[0] += 599
        look("x")
        assert len(ran) == 1
        now[0] += 1
        look("x")
        assert len(ran) == 2
    finally:
        runtime.stop()


def test_tenants_and_users(telemetry: Telemetry) -> None:
    """Scope is the tenant, else the user, else the process; `user` and `run` are narrower."""

    def calls(scope: Any) -> list[int]:
        made: list[int] = []

        @otel_agentcost.tool(cache="10m", scope=scope, name=f"of_{scope}")
        def find(query: str) -> str:
            made.append(1)
            return query

        counts = []
        for who in ({"tenant": "a", "user": "1"}, {"tenant": "a", "user": "2"}, {"tenant": "b", "user": "1"},
                    {"user": "1"}, {"user": "2"}, {}):  # fmt: skip
            with attribute(**who):
                find("x")
                counts.append(len(made))
                find("x")
                assert len(made) == counts[-1]
        with otel_agentcost.run("job"):
            find("x")
            find("x")
            counts.append(len(made))
        return counts

    with instrumented(telemetry):
        assert calls("tenant") == [1, 1, 2, 3, 4, 5, 5]
        assert calls("user") == [1, 2, 3, 4, 5, 6, 6]
        assert calls("process") == [1, 2, 3, 4, 5, 6, 6]
        assert calls("run") == [1, 2, 3, 4, 5, 6, 7]


class Client:
    """An object with a tool."""

    def __init__(self, name: str) -> None:
        self.name = name

    @otel_agentcost.tool(cache="10m")
    def who(self, query: str) -> str:
        ran.append(query)
        return self.name


def test_objects_and_closures_are_not_each_other(telemetry: Telemetry) -> None:
    """A method's results are its object's, and a function that was made inside another has its own."""

    def made(name: str) -> Any:
        @otel_agentcost.tool(cache="10m")
        def who(query: str) -> str:
            return name

        return who

    with instrumented(telemetry), attribute(tenant="acme"):
        for _ in range(3):
            for name in ("a", "b"):
                assert Client(name).who("x") == made(name)("x") == name
        ran.clear()
        one = Client("one")
        assert one.who("x") == one.who("x") == "one"
    assert len(ran) == 1


def test_what_is_never_kept(telemetry: Telemetry) -> None:
    """Errors, empty, oversized and uncopyable results, and calls with arguments that are more than their content."""
    results: list[Any] = [
        "", None, [], {}, "x" * (MOST_BYTES + 1), lambda: 1, threading.Lock(), iter([1]), open,
    ]  # fmt: skip
    results[-1] = (line for line in "ab")

    @otel_agentcost.tool(cache="10m")
    def give(i: int) -> Any:
        ran.append(i)
        if i < 0:
            raise KeyError("no")
        return results[i]

    @otel_agentcost.tool(cache="10m")
    def take(what: Any) -> str:
        ran.append(what)
        return "taken"

    with instrumented(telemetry):
        for i in range(len(results)):
            assert give(i) is give(i) is results[i]
        for _ in range(2):
            with pytest.raises(KeyError):
                give(-1)
            take(object())
            take([threading.Lock()])
    assert len(ran) == 2 * len(results) + 6
    assert hits(telemetry) == 0


def test_generators_cannot_be_kept() -> None:
    """A generator with `cache`, a time or a scope that is none: each raises at once."""

    def some() -> Iterator[int]:
        yield 1

    async def some_async() -> AsyncIterator[int]:
        yield 1

    for function in (some, some_async):
        with pytest.raises(ValueError, match="is a generator"):
            otel_agentcost.tool(cache="10m")(function)
    for wrong in ({"cache": "soon"}, {"cache": "10m", "scope": "planet"}, {"scope": "user"}):
        with pytest.raises(ValueError, match=r"time|none of|needs cache"):
            otel_agentcost.tool(**wrong)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def test_a_pattern_leaves_generators_alone(telemetry: Telemetry) -> None:
    """A rule of the settings for all tools does not change what generators yield."""

    @otel_agentcost.tool
    def some() -> Iterator[int]:
        ran.append(1)
        yield 1

    with instrumented(telemetry, settings=Settings(tool_cache="*=10m")):
        assert [*some(), *some()] == [1, 1]
    assert len(ran) == 2


def test_a_loop_is_seen_and_limits_count(telemetry: Telemetry) -> None:
    """To loop rules and to limits of tool calls, a hit is a call like any other: a loop is a loop."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry), tracer.start_as_current_span("agent"):
        for _ in range(4):
            look("bees")
        assert "repeat" in repeats()
    said = telemetry.attributes("agent")
    assert said[semconv.TRACE_TOOL_CALLS] == 4
    assert said[semconv.TRACE_TOOL_COST] == 0.25
    assert len(ran) == 1


async def test_tasks_and_threads_never_cross(telemetry: Telemetry) -> None:
    """Of 50 tenants in tasks and threads at once, each gets its own results, and most are hits."""

    @otel_agentcost.tool(cache="10m")
    def mine(query: int) -> str:
        ran.append(query)
        return f"{current.get(threading.get_ident())} {query}"

    @otel_agentcost.tool(cache="10m")
    async def mine_async(query: int, _: int = 0) -> str:
        await asyncio.sleep(0.0001)
        return f"{otel_agentcost_tenant()} {query}"

    current: dict[int, str] = {}

    def otel_agentcost_tenant() -> str:
        from otel_agentcost.telemetry import attribution, blocks

        return attribution.current(blocks.here(), {})[semconv.TENANT]

    def in_thread(i: int) -> None:
        tenant = f"t{i % 50}"
        current[threading.get_ident()] = tenant
        with attribute(tenant=tenant):
            for query in range(20):
                assert mine(query % 5) == f"{tenant} {query % 5}"

    async def in_task(i: int) -> None:
        tenant = f"t{i % 50}"
        with attribute(tenant=tenant):
            for query in range(10):
                assert await mine_async(query % 5) == f"{tenant} {query % 5}"
                await asyncio.sleep(0)

    with instrumented(telemetry):
        await asyncio.gather(*(in_task(i) for i in range(100)))
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(in_thread, range(100)))
    assert len(ran) <= 50 * 5 * 2


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that processes share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cache.db"
    server: Server = request.getfixturevalue("redis_server")
    server.empty()
    return server.url


async def test_a_shared_store_has_json_alone(telemetry: Telemetry, url: str) -> None:
    """What JSON can hold is kept in the store, for all processes; other types stay in this one's memory."""
    settings = Settings(cache_store=url)
    for _ in range(2):  # the second time, as another process
        with instrumented(telemetry, settings=settings), attribute(tenant="acme"):
            for _ in range(2):
                assert await look_async("x") == {"query": "x", "found": [1, 2.5, None, True]}
                assert look("x") == Page("x", date(2026, 1, 1), ["a", "b"])
    assert ran == ["x", ("x", 1), ("x", 1)]
    store = open_store(url)
    assert store.size(time.time()).entries == 1
    assert store.clear("tenant=acme") == 1
    store.close()


def test_nobodys_results_stay_in_the_process(telemetry: Telemetry, url: str) -> None:
    """Without tenant and user, nothing goes to the shared store."""
    with instrumented(telemetry, settings=Settings(cache_store=url, tool_cache="plain=1m")):
        assert plain("x") == plain("x") == "plain x"
    assert len(ran) == 1
    store = open_store(url)
    assert store.size(time.time()).entries == 0
    store.close()


class Trap:
    """A pickle that would show that it was read."""

    def __reduce__(self) -> Any:
        return (ran.append, ("trapped",))


def test_a_store_that_is_changed_does_no_harm(telemetry: Telemetry, tmp_path: Path) -> None:
    """A pickle, half a text or nonsense in the store is not read: the tool is called."""
    import sqlite3

    path = tmp_path / "cache.db"
    settings = Settings(cache_store=f"sqlite:///{path}", tool_cache="plain=1h")
    evil = [b"\x01" + bytes(8) + pickle.dumps(Trap()), b"\x02" + bytes(8) + b'"ha', b"", b"\xff" * 40]
    for value in [None, *evil]:
        if value is not None:
            connection = sqlite3.connect(path)
            connection.execute("UPDATE entries SET value = ?", (value,))
            connection.commit()
            connection.close()
        with instrumented(telemetry, settings=settings), attribute(tenant="acme"):
            assert plain("x") == "plain x"
    assert ran == ["x"] * 5


@pytest.mark.parametrize("store", ["redis://127.0.0.1:1/0", "sqlite:////nowhere/at/all.db", "redis://:x/y"])
async def test_a_store_that_is_down(store: str, telemetry: Telemetry) -> None:
    """Tools are called as if there were no cache, and wait no longer than for one time-out."""
    began = time.monotonic()
    with instrumented(telemetry, settings=Settings(cache_store=store, tool_cache="plain=1h")), attribute(tenant="acme"):
        for _ in range(3):
            assert plain("x") == "plain x"
            assert (await look_async("x"))["query"] == "x"
    assert time.monotonic() - began < 3
    assert len(ran) == 6


def test_without_a_rule_nothing_is_imported() -> None:
    """Instrumented, with a tool that is called and no rule: no module of the cache is loaded."""
    import subprocess
    import sys

    code = (
        "import sys, otel_agentcost\n"
        "@otel_agentcost.tool\n"
        "def f(x): return x\n"
        "otel_agentcost.AgentCostInstrumentor().instrument()\n"
        "f(1)\n"
        "print([name for name in sys.modules if name.startswith('otel_agentcost.savings') and 'prompt' not in name])\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "['otel_agentcost.savings']"


def test_uninstrumented_tools_are_called(telemetry: Telemetry) -> None:
    """Without `instrument()`, nothing is kept."""
    assert [look("x").title, look("x").title] == ["x", "x"]
    assert len(ran) == 2
    assert dataclasses.is_dataclass(look("x"))
    assert json.dumps(look("x").words) == '["a", "b"]'
