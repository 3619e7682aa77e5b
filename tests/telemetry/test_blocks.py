"""Blocks of `attribute`, `run` and `tool_call` may be left anywhere, and survive code that detaches their context."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
import trio
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context

import otel_agentcost
from otel_agentcost import BudgetExceeded, attribute, run, tool_call
from otel_agentcost.telemetry import blocks
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import ask, ask_async, client

MANAGERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "attribute": lambda: attribute(user="u1"),
    "run": lambda: run("work", llm_calls=1, user="u1"),
    "tool_call": lambda: tool_call("search"),
}
EVERY_MANAGER = pytest.mark.parametrize("manager", MANAGERS)


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test of this module may leave a line in the log."""
    yield
    assert [record.getMessage() for record in caplog.records] == []


@pytest.fixture(autouse=True)
def fresh_context() -> Iterator[None]:
    """Whatever a test leaves open is gone afterwards."""
    outer, inner = context.get_current(), blocks.innermost()
    context.attach(Context())
    blocks.take_over(None)
    yield
    context.attach(outer)
    blocks.take_over(inner)


def users(telemetry: Telemetry) -> list[object]:
    return [(span.attributes or {}).get("user.id") for span in telemetry.spans if span.name.startswith("chat")]


def left_in_thread(block: AbstractContextManager[Any]) -> None:
    """Leaves `block` in another thread than the one that entered it."""
    thread = threading.Thread(target=block.__exit__, args=(None, None, None))
    thread.start()
    thread.join()


def opened(manager: str) -> Generator[int]:
    """A plain generator, in whose block it stops."""
    with MANAGERS[manager]():
        yield 1


def in_another_thread(leave: Callable[[], object]) -> None:
    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()


def in_another_context(leave: Callable[[], object]) -> None:
    contextvars.Context().run(leave)


def in_a_copy(leave: Callable[[], object]) -> None:
    contextvars.copy_context().run(leave)


def in_another_task(leave: Callable[[], object]) -> None:
    async def main() -> None:
        leave()

    asyncio.run(main())


def under_another_context(leave: Callable[[], object]) -> None:
    context.attach(baggage.set_baggage("key", "value", Context()))
    leave()


PLACES = [in_another_thread, in_another_context, in_a_copy, in_another_task, under_another_context]


@EVERY_MANAGER
@pytest.mark.parametrize("place", PLACES)
def test_a_block_that_is_left_elsewhere_does_not_stay_open_where_it_was_entered(
    manager: str, place: Callable[[Callable[[], object]], None], telemetry: Telemetry
) -> None:
    """Later calls are neither attributed nor counted in it, and nothing is in the log."""
    made = client()
    with instrumented(telemetry):
        block = opened(manager)
        next(block)
        place(block.close)
        ask(made)
        ask(made)  # a second call would pass the limit of the run
    assert users(telemetry) == [None, None]


async def test_a_task_that_starts_after_a_block_was_left_elsewhere_is_not_in_it(telemetry: Telemetry) -> None:
    """A thread leaves two blocks of this task. After the next call here, no task that starts here is in a block."""
    with instrumented(telemetry):
        outer, inner = attribute(user="outer"), run("work", llm_calls=1, user="inner")
        outer.__enter__()
        inner.__enter__()
        await ask_async()
        left_in_thread(inner)
        await ask_async()
        await asyncio.create_task(ask_async())
        left_in_thread(outer)
        await ask_async()
        await asyncio.create_task(ask_async())
    assert users(telemetry) == ["inner", "outer", "outer", None, None]


async def test_a_block_around_one_that_was_left_elsewhere_does_not_stay_open(telemetry: Telemetry) -> None:
    """The outer block is left here, although a thread has left the inner one."""
    with instrumented(telemetry):
        with attribute(user="outer"):
            inner = attribute(user="inner")
            inner.__enter__()
            left_in_thread(inner)
            await ask_async()
        await ask_async()
        await asyncio.create_task(ask_async())
    assert users(telemetry) == ["outer", None, None]


@EVERY_MANAGER
def test_a_block_that_the_garbage_collector_leaves_breaks_nothing(manager: str, telemetry: Telemetry) -> None:
    """The generator is part of a cycle: the collector closes it, in whatever context it runs."""
    with instrumented(telemetry):

        def abandon() -> None:
            block = opened(manager)
            next(block)
            cycle: list[Any] = [block]
            cycle.append(cycle)

        in_a_copy(abandon)
        in_another_context(gc.collect)
        ask()
    assert users(telemetry) == [None]


@EVERY_MANAGER
def test_a_block_that_is_never_left_breaks_nothing(manager: str, telemetry: Telemetry) -> None:
    """Its manager is dropped: a run or tool call ends, an attribution stays where it was entered. Nothing is logged."""
    with instrumented(telemetry):

        def enter() -> None:
            entered = MANAGERS[manager]()
            entered.__enter__()
            del entered
            gc.collect()
            ask()

        in_a_copy(enter)
    assert users(telemetry) == ["u1" if manager == "attribute" else None]


def test_an_asynchronous_generator_that_is_abandoned_breaks_nothing(telemetry: Telemetry) -> None:
    """asyncio closes it in a task of its own."""

    async def body(manager: str) -> AsyncGenerator[int]:
        with MANAGERS[manager]():
            yield 1
            yield 2

    async def main() -> None:
        for manager in MANAGERS:
            async for _ in body(manager):
                break
            gc.collect()
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        await ask_async()

    with instrumented(telemetry):
        asyncio.run(main())
    assert users(telemetry) == [None]


def test_blocks_that_are_left_in_the_order_of_their_entry_do_not_stay_open(telemetry: Telemetry) -> None:
    """The inner one keeps its values, and after it the outer one, which was left first, is not restored."""
    with instrumented(telemetry):
        outer, inner = attribute(user="outer", team="t"), attribute(user="inner")
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        ask()
        inner.__exit__(None, None, None)
        ask()
    assert users(telemetry) == ["inner", None]


@EVERY_MANAGER
def test_a_block_that_is_left_twice_breaks_nothing(manager: str, telemetry: Telemetry) -> None:
    """The second time does nothing."""
    with instrumented(telemetry):
        entered = MANAGERS[manager]()
        entered.__enter__()
        for _ in range(2):
            entered.__exit__(None, None, None)
        ask()
    assert users(telemetry) == [None]


async def test_tasks_that_outlive_their_block_keep_its_user_and_its_run(telemetry: Telemetry) -> None:
    """A task that was started inside works for the same user and run, wherever the block was left meanwhile."""
    left = asyncio.Event()

    async def later() -> str:
        await left.wait()
        await ask_async()
        try:
            await ask_async()
        except BudgetExceeded:
            return "refused"
        return "made"

    with instrumented(telemetry):
        block = opened("run")
        next(block)
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
        await asyncio.to_thread(block.close)
        left.set()
        assert await task == "refused"
    assert users(telemetry) == ["u1", "u1"]


def test_one_object_that_is_entered_in_several_threads_leaves_the_block_of_each(telemetry: Telemetry) -> None:
    """A manager may be made once and used everywhere."""
    shared = attribute(user="u1")
    barrier = threading.Barrier(4)

    def work() -> None:
        with shared:
            barrier.wait()
            ask()
            barrier.wait()
        ask()

    with instrumented(telemetry):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(str, users(telemetry))) == ["None"] * 4 + ["u1"] * 4


def test_a_block_that_is_left_in_another_task_of_trio_breaks_nothing(telemetry: Telemetry) -> None:
    """The task that entered it is no longer attributed."""

    async def main() -> None:
        block = opened("attribute")
        next(block)
        async with trio.open_nursery() as nursery:

            async def leave() -> None:
                block.close()

            nursery.start_soon(leave)
        await ask_async()

    with instrumented(telemetry):
        trio.run(main)
    assert users(telemetry) == [None]


# --- Code that detaches the OpenTelemetry context ---


def test_code_that_detaches_the_context_does_not_lose_the_user_or_the_limit(telemetry: Telemetry) -> None:
    """A span around the entry of a block restores the context from before: the block is still open."""
    tracer = telemetry.tracer_provider.get_tracer("framework")
    with instrumented(telemetry), ExitStack() as stack:
        with tracer.start_as_current_span("dependencies"):
            stack.enter_context(attribute(tenant="t1"))
            stack.enter_context(run("request", llm_calls=1, user="u1"))
        with tracer.start_as_current_span("endpoint"):
            ask()
            with pytest.raises(BudgetExceeded):
                ask()
    assert users(telemetry) == ["u1", "u1"]
    chats = [span.attributes or {} for span in telemetry.spans if span.name.startswith("chat")]
    assert [each["agentcost.tenant"] for each in chats] == ["t1", "t1"]


def test_tools_and_adjustments_count_in_a_run_whose_context_is_detached(telemetry: Telemetry) -> None:
    """They ask the same blocks as model calls."""
    with instrumented(telemetry), ExitStack() as stack:
        token = context.attach(context.get_current())
        opened_run = stack.enter_context(run("request", usd=1))
        context.detach(token)
        with tool_call("search", usd="0.25"):
            pass
        otel_agentcost.adjust("0.5", reason="a call that no SDK makes")
        assert str(opened_run.cost_usd) == "0.75"
        assert opened_run.tool_calls == 1


def test_a_context_that_code_passes_on_counts_before_an_older_block(telemetry: Telemetry) -> None:
    """A worker that attaches the context of a job works for the user of the job, not for who started the worker."""
    jobs: list[Context] = []

    def submit() -> None:
        with attribute(user="job"):
            jobs.append(context.get_current())

    with instrumented(telemetry):
        in_another_context(submit)
        with attribute(user="worker"):
            token = context.attach(jobs[0])
            ask()
            context.detach(token)
            ask()
    assert users(telemetry) == ["job", "worker"]


def test_a_nested_block_adds_to_one_whose_context_is_detached(telemetry: Telemetry) -> None:
    """The inner block knows the outer one, and leaves it open."""
    with instrumented(telemetry), ExitStack() as stack:
        token = context.attach(context.get_current())
        stack.enter_context(attribute(user="u1"))
        context.detach(token)
        with attribute(team="t1"):
            ask()
        ask()
    chats = [span.attributes or {} for span in telemetry.spans]
    assert [(each.get("user.id"), each.get("agentcost.team")) for each in chats] == [("u1", "t1"), ("u1", None)]


def test_a_request_still_carries_the_budget_of_a_run_whose_context_is_detached(
    telemetry: Telemetry, tmp_path: Any
) -> None:
    """Another service would not keep to the run otherwise: during the call, its baggage is current."""
    settings = otel_agentcost.Settings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    with instrumented(telemetry, settings=settings), ExitStack() as stack:
        token = context.attach(context.get_current())
        stack.enter_context(run("request", usd=1))
        context.detach(token)
        assert baggage.get_baggage(blocks.CARRIED_RUNS) is None
        assert "request" in str(baggage.get_baggage(blocks.CARRIED_RUNS, blocks.here()))


# --- Decorators ---


def test_a_decorated_function_of_any_kind_is_attributed_while_it_runs(telemetry: Telemetry) -> None:
    """Asynchronous functions and generators are, too, and their consumers are not."""

    @attribute(user="u1")
    async def asynchronous() -> None:
        await ask_async()

    @attribute(user="u2")
    def items() -> Iterator[None]:
        ask()
        yield
        ask()

    with instrumented(telemetry):
        asyncio.run(asynchronous())
        for _ in items():
            ask()
    assert users(telemetry) == ["u1", "u2", None, "u2"]


async def test_attribute_is_an_asynchronous_context_manager_too(telemetry: Telemetry) -> None:
    """As `run` is."""
    with instrumented(telemetry):
        async with attribute(user="u1"):
            await ask_async()
        await ask_async()
    assert users(telemetry) == ["u1", None]


def test_no_block_is_open_under_no_block() -> None:
    """The usual case takes the current context as it is."""
    assert blocks.here() is context.get_current()
    with attribute(user="u1"):
        assert blocks.here() is context.get_current()
    assert trace.get_current_span() is trace.INVALID_SPAN
