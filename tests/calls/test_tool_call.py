"""Tool calls that are written by hand, what is seen of any tool call, and what the loop watch learns of it."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from openai import OpenAI
from opentelemetry import context

import otel_agentcost
from otel_agentcost import LoopDetected, Settings
from otel_agentcost.calls.jsonable import plain
from otel_agentcost.calls.tool_call import ToolCall
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import client
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client of a model that says something else every time, and never asks for a tool."""
    answers = iter(range(10**6))

    def reply(_request: Any) -> Any:
        answer = chat(model="gpt-4o-mini")
        answer["choices"][0]["message"] = {"role": "assistant", "content": f"{next(answers) * 7919} it is."}
        return json_reply(answer)

    model_server.responder = reply
    with client(model_server) as made:
        yield made


def agent(openai: OpenAI, act: Callable[[int], object], steps: int = 10) -> None:
    """An agent written by hand: it acts, and asks what is next, in a prompt that tells of no tools."""
    for step in range(steps):
        act(step)
        _ask(openai, step)


def _ask(openai: OpenAI, step: int) -> None:
    prompt = f"Page {step * step} says {step * 31}. What next?"
    openai.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}], max_tokens=9)


def test_a_call_written_by_hand_is_a_span_with_its_price(telemetry: Telemetry) -> None:
    """In a `with` block or an `async with` block; the span is current in it."""

    async def soon() -> None:
        async with otel_agentcost.tool_call("fetch", usd="0.25") as call:
            await asyncio.sleep(0)
            call.result = "page"

    with instrumented(telemetry, settings=Settings(tool_prices={"sea*": Decimal("0.5")})):
        tracer = telemetry.tracer_provider.get_tracer("app")
        with otel_agentcost.tool_call("search", call_id="call-1") as call, tracer.start_as_current_span("inside"):
            call.result = ["bees"]
        asyncio.run(soon())
    said = telemetry.attributes("execute_tool search")
    assert (said[semconv.COST], said[semconv.TOOL_CALL_ID]) == (0.5, "call-1")
    inside, search = telemetry.span("inside").parent, telemetry.span("execute_tool search").context
    assert inside is not None
    assert search is not None
    assert inside.span_id == search.span_id
    assert telemetry.attributes("execute_tool fetch")[semconv.COST] == 0.25


def test_a_price_function_sees_what_was_said_by_hand(telemetry: Telemetry) -> None:
    """The arguments that were given, and the result, or None where none was set."""
    seen: list[Any] = []

    def price(arguments: dict[str, Any], result: Any) -> float:
        seen.append((arguments, result))
        return 0.25

    with instrumented(telemetry):
        with otel_agentcost.tool_call("a", arguments={"n": 1}, usd=price) as call:
            call.result = "x"
        with otel_agentcost.tool_call("b", usd=price):
            pass
        with pytest.raises(KeyError), otel_agentcost.tool_call("c", usd=price):
            raise KeyError("c")
    assert seen == [({"n": 1}, "x"), ({}, None)]
    assert telemetry.attributes("execute_tool c")[semconv.ERROR_TYPE] == "KeyError"


def test_a_call_written_by_hand_runs_where_nothing_is_instrumented() -> None:
    """It is a plain block."""
    with otel_agentcost.tool_call("search", arguments={"query": "bees"}) as call:
        call.result = 1
    assert call.result == 1


class Shelf:
    """A tool that is a method."""

    @otel_agentcost.tool
    def take(self, title: str, *, copies: int = 1) -> dict[str, Any]:
        """A book."""
        return {"title": title, "copies": copies}


@pytest.mark.parametrize("capture", ["SPAN_ONLY", "SPAN_AND_EVENT", "EVENT_ONLY", "NO_CONTENT"])
def test_arguments_and_results_are_content(telemetry: Telemetry, capture: Any) -> None:
    """They are on the span where spans may have content, and nowhere else."""
    with instrumented(telemetry, settings=Settings(capture_content=capture)):
        Shelf().take("Bees")
        with otel_agentcost.tool_call("search", arguments={"query": "bées"}) as call:
            call.result = "two bées"
    take, search = telemetry.attributes("execute_tool take"), telemetry.attributes("execute_tool search")
    found = [said.get(name) for said in (take, search) for name in (semconv.TOOL_ARGUMENTS, semconv.TOOL_RESULT)]
    whole = ['{"title": "Bees", "copies": 1}'] * 2 + ['{"query": "bées"}', "two bées"]
    assert found == (whole if capture.startswith("SPAN") else [None] * 4)


def test_a_tool_that_repeats_itself_is_a_loop(telemetry: Telemetry, openai: OpenAI) -> None:
    """No conversation tells of the calls: their spans do, and the next model call is stopped, with what was wasted."""

    @otel_agentcost.tool(usd="0.5")
    def search(query: str) -> str:
        return f"Nothing found for {query}."

    with instrumented(telemetry, settings=Settings(loop_action="block")):
        tracer = telemetry.tracer_provider.get_tracer("app")
        with tracer.start_as_current_span("agent"), pytest.raises(LoopDetected) as caught:
            agent(openai, lambda _step: search("bees"))
    assert (caught.value.rule, caught.value.tool) == ("repeat", "search")
    assert caught.value.repeats in (3, 4)
    assert caught.value.wasted_usd is not None
    assert caught.value.wasted_usd >= Decimal("0.5")


def test_a_tool_that_fails_again_and_again_is_a_loop(telemetry: Telemetry, openai: OpenAI) -> None:
    """What it raised is its result, with an error; under no span too."""

    def fetch(_step: int) -> None:
        with pytest.raises(OSError), otel_agentcost.tool_call("fetch", arguments={"page": 4}):
            raise OSError("connection refused")

    with instrumented(telemetry, settings=Settings(loop_action="block")), pytest.raises(LoopDetected) as caught:
        agent(openai, fetch)
    assert caught.value.tool == "fetch"


@dataclasses.dataclass
class Handle:
    """Plain data round something that is none."""

    held: object


@pytest.mark.parametrize(
    ("argument", "result"),
    [
        (lambda step: step, lambda _step: "ok"),  # something else every time
        (lambda _step: "same", lambda step: f"{10 * step} % done"),  # polling
        (lambda _step: "same", lambda _step: None),  # nothing comes back: nothing is known
        (lambda _step: object(), lambda _step: "ok"),  # who knows what it was called with?
        (lambda _step: Handle(object()), lambda _step: "ok"),
        (lambda _step: "same", lambda _step: object()),
    ],
)
def test_what_may_be_progress_is_no_loop(telemetry: Telemetry, openai: OpenAI, argument: Any, result: Any) -> None:
    """In doubt there is none."""

    def work(step: int) -> None:
        with otel_agentcost.tool_call("work", arguments={"given": argument(step)}) as call:
            call.result = result(step)

    with instrumented(telemetry, settings=Settings(loop_action="block")):
        tracer = telemetry.tracer_provider.get_tracer("app")
        with tracer.start_as_current_span("agent"):
            agent(openai, work)
    assert telemetry.total("agentcost.loop.detections") == 0


def test_arguments_that_cannot_be_read_are_nobody_elses_problem(telemetry: Telemetry) -> None:
    """Circles, endless texts, lone surrogates, numbers without end, objects that raise: the tool runs."""

    class Trap:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    circle: list[Any] = []
    circle.append(circle)
    echo = otel_agentcost.tool(lambda given: given)
    with instrumented(telemetry, settings=Settings(capture_content="SPAN_ONLY")):
        for given in (circle, "x" * 10**6, "\ud800", 10**5000, Trap(), {1: {2: b"\0"}}, float("nan"), [0] * 10**6):
            assert echo(given) is given
    for span in telemetry.spans:
        for name in (semconv.TOOL_ARGUMENTS, semconv.TOOL_RESULT):
            written: Any = dict(span.attributes or {})[name]
            assert len(written.encode()) < 200_000


def test_plain_data_is_read_and_anything_else_is_named() -> None:
    """Dataclasses by their fields, sets in one order, other objects by their type, and said to be opaque."""
    assert plain({"when": Decimal("1.50"), "who": {"b", "a"}}) == (
        '{"when": "1.50", "who": ["a", "b"]}',
        False,
        False,
    )
    assert plain(Handle(1)) == ('{"held": 1}', False, False)
    assert plain([object()]) == ('["<object>"]', True, False)
    assert plain("abcdef", 4) == ("abcd", False, True)
    assert plain(["abcdef", "gh"], 20).cut


def test_an_exception_that_cannot_be_shown_passes_and_ends_the_span(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Its text is for the loop watch alone, and nothing is lost without it."""

    class Wrong(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @otel_agentcost.tool(usd="0.5")
    def search() -> None:
        raise Wrong

    with instrumented(telemetry), pytest.raises(Wrong):
        search()
    assert telemetry.attributes("execute_tool search")[semconv.COST] == 0.5
    assert not caplog.records


def test_what_a_tool_leaves_current_ends_with_it(telemetry: Telemetry) -> None:
    """It is beneath a span that is over: what comes next is not."""

    @otel_agentcost.tool
    def search() -> None:
        context.attach(context.set_value("left", "behind"))

    with instrumented(telemetry):
        before = context.get_current()
        search()
        assert context.get_current() is before


def test_a_call_within_a_call_of_the_same_name_is_another_where_the_model_says_so(telemetry: Telemetry) -> None:
    """An agent that is a tool may have a tool that is called like it: the ids of the model's calls differ."""
    with instrumented(telemetry), otel_agentcost.tool_call("search", call_id="call_1"):
        for id_ in ("call_2", None):
            with ToolCall("search", dict[str, Any], call_id=id_, source="a framework"):
                pass
    assert [span.name for span in telemetry.spans] == ["execute_tool search"] * 2


async def test_what_a_tool_leaves_running_does_not_keep_its_result(telemetry: Telemetry) -> None:
    """A task has the context in which it was started, for as long as it runs."""

    class Page:
        pass

    running: list[asyncio.Task[None]] = []
    pages: list[weakref.ref[Page]] = []

    @otel_agentcost.tool
    async def fetch(_given: Page) -> Page:
        running.append(asyncio.create_task(asyncio.sleep(60)))
        page = Page()
        pages.extend([weakref.ref(page), weakref.ref(_given)])
        return page

    with instrumented(telemetry):
        await fetch(Page())
    gc.collect()
    assert [page() for page in pages] == [None, None]
    running[0].cancel()
