"""Calls that end after the run, the agent or the trace around them: totals wait for what is in flight."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.trace import ReadableSpan

import otel_agentcost
from otel_agentcost.telemetry.held_span import end_held
from tests.integrations.sdks.test_patching import python
from tests.support.budgeted_calls import ASK, USD, budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply
from tests.support.replies import PLAIN, chat, chat_stream
from tests.telemetry.test_processes import HEAD

STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
AGENT = {"gen_ai.operation.name": "invoke_agent"}


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    model_server.responder = lambda request: chat_stream(usage=PLAIN) if request.json.get("stream") else slow()
    with OpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as made:
        yield made


def slow() -> Reply:
    time.sleep(0.3)
    return json_reply(chat())


def totals(telemetry: Telemetry, name: str) -> tuple[object, object]:
    """Calls and dollars on the span `name`."""
    given = telemetry.attributes(name)
    return given.get("agentcost.trace.llm_calls"), given.get("agentcost.trace.cost_usd")


def test_a_stream_that_outlives_its_run_is_not_missing_in_its_totals(telemetry: Telemetry, openai: OpenAI) -> None:
    """The run's span, its metric and `run.cost_usd` have the stream, and the span ends when its block did."""
    with budgeted(telemetry):
        with otel_agentcost.run("ticket") as run:
            stream = openai.chat.completions.create(**STREAM)
            next(iter(stream))
        left = time.time_ns()
        time.sleep(0.05)
        list(stream)
        assert run.cost_usd == Decimal(str(USD))
        assert telemetry.histogram("agentcost.trace.cost").sum == pytest.approx(USD)
    assert totals(telemetry, "invoke_workflow ticket") == (1, pytest.approx(USD))
    ended = telemetry.span("invoke_workflow ticket").end_time
    assert ended is not None
    assert ended <= left


def test_streams_that_outlive_their_agents_are_not_missing_in_any_totals(telemetry: Telemetry, openai: OpenAI) -> None:
    """Each agent waits for its own streams, the root for all of them, and a call in between still counts."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with budgeted(telemetry):
        with tracer.start_as_current_span("root"):
            with tracer.start_as_current_span("first", attributes=AGENT):
                early = openai.chat.completions.create(**STREAM)
            with tracer.start_as_current_span("second", attributes=AGENT):
                late = openai.chat.completions.create(**STREAM)
        assert not telemetry.spans
        list(early)
        assert [span.name for span in telemetry.spans if not span.name.startswith("chat")] == ["first"]
        late.close()
    assert totals(telemetry, "first") == (1, pytest.approx(USD))
    calls, usd = totals(telemetry, "root")
    assert calls == 2
    assert isinstance(usd, float)
    assert usd > USD
    assert telemetry.histogram("agentcost.trace.cost").count == 1


async def test_a_task_that_outlives_its_run_is_not_missing_in_its_totals(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """So it is with a whole response, in a task and in a thread."""
    async with AsyncOpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as other:
        with budgeted(telemetry):
            with otel_agentcost.run("ticket"):
                task = asyncio.create_task(other.chat.completions.create(**ASK))
                thread = threading.Thread(target=openai.chat.completions.create, kwargs=ASK)
                thread.start()
                await asyncio.sleep(0.1)
            await task
            await asyncio.to_thread(thread.join)
    assert totals(telemetry, "invoke_workflow ticket") == (2, pytest.approx(2 * USD))


def test_a_dropped_stream_does_not_keep_its_root_open(telemetry: Telemetry, openai: OpenAI) -> None:
    """The stream is settled by the garbage collector; then the root ends."""
    with budgeted(telemetry):
        with otel_agentcost.run("ticket"):
            stream = openai.chat.completions.create(**STREAM)
            next(iter(stream))
        assert not telemetry.spans
        del stream
        gc.collect()
        calls, _ = totals(telemetry, "invoke_workflow ticket")
        assert calls == 1


def test_a_root_is_not_lost_with_a_stream_that_never_ends(telemetry: Telemetry, openai: OpenAI) -> None:
    """After ten minutes, when the next trace ends, it ends with the totals that it has; the call still counts."""
    with budgeted(telemetry):
        with otel_agentcost.run("ticket"):
            stream = openai.chat.completions.create(**STREAM)
        end_held(waiting=600.0)
        assert not telemetry.spans
        end_held(waiting=0.0)
        assert [span.name for span in telemetry.spans] == ["invoke_workflow ticket"]
        list(stream)
        assert telemetry.total("agentcost.cost") == pytest.approx(USD)
    assert len(telemetry.spans) == 2


def test_a_root_is_ended_once(telemetry: Telemetry, openai: OpenAI) -> None:
    """An application that ends it again while it waits gets what it gets without us: nothing."""
    ended: list[ReadableSpan] = []
    with budgeted(telemetry):
        root = telemetry.tracer_provider.get_tracer("application").start_span("root")
        with otel_agentcost.run("ticket"):
            stream = openai.chat.completions.create(**STREAM)
        root.end(end_time=1)
        root.end(end_time=2)
        list(stream)
        ended += [span for span in telemetry.spans if span.name == "root"]
    assert [span.end_time for span in ended] == [1]


def test_a_root_that_waits_at_exit_is_not_lost() -> None:
    """A process that ends with a half-read stream exports the root of its trace, with the totals."""
    script = f"""{HEAD}
import atexit, warnings
warnings.simplefilter("ignore")
provide()
def show():
    for span in exporter.get_finished_spans():
        print(span.name, dict(span.attributes).get("agentcost.trace.llm_calls"))
atexit.register(show)
otel_agentcost.instrument()
from tests.integrations.sdks.recorded_streams import CHAT, Wire
with otel_agentcost.run("ticket"):
    stream = CHAT.ask(Wire(CHAT.chunks).transport())
    next(stream)
print("done")
"""
    done, *spans = python(script).strip().splitlines()
    assert done == "done"
    assert "invoke_workflow ticket 1" in spans


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_waiting_root_is_exported_by_its_own_process_only(telemetry: Telemetry, openai: OpenAI) -> None:
    """A forked child has a copy of the root that waits: it leaves it to its parent."""
    with budgeted(telemetry):
        with otel_agentcost.run("ticket"):
            stream = openai.chat.completions.create(**STREAM)
        child = os.fork()
        if child == 0:
            end_held()
            os._exit(len(telemetry.spans))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        list(stream)
    assert totals(telemetry, "invoke_workflow ticket") == (1, pytest.approx(USD))


async def test_a_tool_that_outlives_its_run_is_not_missing_in_its_totals(telemetry: Telemetry) -> None:
    """A tool call in a task that the run does not wait for."""

    @otel_agentcost.tool(usd="0.25")
    async def search() -> None:
        await asyncio.sleep(0.05)

    with budgeted(telemetry):
        with otel_agentcost.run("ticket") as run:
            task = asyncio.create_task(search())
            await asyncio.sleep(0)
        await task
    given = telemetry.attributes("invoke_workflow ticket")
    assert (given["agentcost.trace.tool_calls"], given["agentcost.trace.cost_usd"]) == (1, 0.25)
    assert run.cost_usd == Decimal("0.25")


def test_a_call_that_outlives_the_call_it_began_in_is_not_missing_in_its_totals(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """A hook of the HTTP client begins a task that asks another model: the span of the first call is the root."""
    model_server.responder = lambda request: slow() if request.json["messages"][0]["content"] == "slow" else ok()

    async def both() -> None:
        inner = AsyncOpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0)
        tasks: list[asyncio.Task[Any]] = []

        async def hook(_request: object) -> None:
            if not tasks:
                asked: dict[str, Any] = {**ASK, "messages": [{"role": "user", "content": "slow"}]}
                tasks.append(asyncio.create_task(inner.chat.completions.create(**asked)))
                await asyncio.sleep(0.1)

        http = httpx2.AsyncClient(event_hooks={"request": [hook]})
        outer = AsyncOpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0, http_client=http)
        async with inner, outer:
            await outer.chat.completions.create(**ASK)
            await asyncio.gather(*tasks)

    with budgeted(telemetry):
        asyncio.run(both())
    (root,) = (span for span in telemetry.spans if span.parent is None)
    attributes = root.attributes or {}
    assert attributes["agentcost.trace.llm_calls"] == 2
    assert attributes["agentcost.trace.cost_usd"] == pytest.approx(2 * USD)
    assert telemetry.histogram("agentcost.trace.cost").sum == pytest.approx(telemetry.total("agentcost.cost"))


def ok() -> Reply:
    """An answer at once."""
    return json_reply(chat())
