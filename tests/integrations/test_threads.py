"""After `instrument()`, threads and pools belong to the trace, the user and the run that they work for."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import multiprocessing.pool
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import anyio.to_thread
import pytest
import trio
from openai import OpenAI
from opentelemetry import context
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

from otel_agentcost import BudgetExceeded, attribute, run
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import ask, client

CALLS = 3

POOL = ThreadPoolExecutor(CALLS)
"""Its threads are started by the first work that it gets, in some run."""
OLD_POOL = ThreadPool(CALLS)
"""Its threads are there before anything is instrumented, as in a server."""
atexit.register(OLD_POOL.terminate)


class Worker(threading.Thread):
    """A thread whose class has its own `run`."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call

    def run(self) -> None:
        self._call()


def started(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def in_default_executor(call: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, call) for _ in range(CALLS)))


WAYS: dict[str, Callable[[Callable[..., object]], object]] = {
    "Thread": lambda call: started([threading.Thread(target=call) for _ in range(CALLS)]),
    "a subclass of Thread": lambda call: started([Worker(call) for _ in range(CALLS)]),
    "Timer": lambda call: started([threading.Timer(0.01, call) for _ in range(CALLS)]),
    "ThreadPoolExecutor.submit": lambda call: [each.result() for each in [POOL.submit(call) for _ in range(CALLS)]],
    "ThreadPoolExecutor.map": lambda call: list(POOL.map(lambda _: call(), range(CALLS))),
    "ThreadPool.apply": lambda call: [OLD_POOL.apply(call) for _ in range(CALLS)],
    "ThreadPool.apply_async": lambda call: [each.get() for each in [OLD_POOL.apply_async(call) for _ in range(CALLS)]],
    "ThreadPool.map": lambda call: OLD_POOL.map(lambda _: call(), range(CALLS)),
    "ThreadPool.starmap": lambda call: OLD_POOL.starmap(lambda _, __: call(), [(1, 2)] * CALLS),
    "ThreadPool.imap": lambda call: list(OLD_POOL.imap(lambda _: call(), range(CALLS))),
    "ThreadPool.imap_unordered": lambda call: list(OLD_POOL.imap_unordered(lambda _: call(), range(CALLS))),
    "run_in_executor": lambda call: asyncio.run(in_default_executor(call)),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(params=[False, True], ids=["alone", "beside opentelemetry's threading instrumentation"])
def beside(request: pytest.FixtureRequest) -> Iterator[None]:
    """Without the instrumentation that `opentelemetry-instrument` enables, and with it."""
    if request.param:
        ThreadingInstrumentor().instrument()
    yield
    if request.param:
        ThreadingInstrumentor().uninstrument()


def made(openai: OpenAI) -> bool:
    try:
        ask(openai)
    except BudgetExceeded:
        return False
    return True


@EVERY_WAY
@pytest.mark.usefixtures("beside")
def test_calls_in_threads_are_not_lost_to_the_run_that_they_belong_to(way: str, telemetry: Telemetry) -> None:
    """Three runs in a row each make their three calls in the same threads, and a fourth is refused."""
    openai, counts = client(), []
    with instrumented(telemetry):
        for user in ("u1", "u2", "u3"):
            with run("work", llm_calls=CALLS, user=user) as each:
                WAYS[way](partial(made, openai))
                assert not made(openai)
            counts.append(each.llm_calls)
    sent = [span for span in telemetry.spans if span.attributes and "gen_ai.response.model" in span.attributes]
    assert counts == [CALLS] * 3
    assert sorted(str((span.attributes or {}).get("user.id")) for span in sent) == sorted(["u1", "u2", "u3"] * CALLS)


@EVERY_WAY
@pytest.mark.usefixtures("beside")
def test_calls_in_threads_do_not_pass_the_budget_of_their_trace(way: str, telemetry: Telemetry) -> None:
    """Neither `run` nor `attribute` is used: the threads follow the span from `instrument()` on."""
    openai = client()
    tracer = telemetry.tracer_provider.get_tracer("application")
    with budgeted(telemetry, trace_max_llm_calls=2):
        for _ in range(2):
            telemetry.clear()
            with tracer.start_as_current_span("request") as root:
                WAYS[way](partial(made, openai))
            ids = {span.context.trace_id for span in telemetry.spans if span.context is not None}
            assert ids == {root.get_span_context().trace_id}
            refused = [span for span in telemetry.spans if span.attributes and "error.type" in span.attributes]
            assert len(refused) == CALLS - 2


@EVERY_WAY
def test_a_thread_of_a_pool_does_not_stay_in_a_run(way: str, telemetry: Telemetry) -> None:
    """Work that is given to it outside of the run counts nowhere else."""
    openai = client()
    with instrumented(telemetry):
        with run("work", user="u1"):
            WAYS[way](partial(made, openai))
        telemetry.clear()
        WAYS[way](partial(made, openai))
    assert [(span.attributes or {}).get("user.id") for span in telemetry.spans] == [None] * CALLS


def patched() -> list[Any]:
    return [
        threading.Thread.__dict__["start"],
        ThreadPoolExecutor.__dict__["submit"],
        *(multiprocessing.pool.Pool.__dict__[name] for name in ("apply_async", "_map_async", "imap", "imap_unordered")),
        asyncio.to_thread,
        asyncio.threads.to_thread,
        anyio.to_thread.run_sync,
        trio.to_thread.run_sync,
    ]


def test_uninstrument_restores_threads_and_pools(telemetry: Telemetry) -> None:
    """After `uninstrument()` they are as before, also beside opentelemetry's threading instrumentation."""
    before = patched()
    with instrumented(telemetry):
        assert all(each is not other for each, other in zip(before, patched(), strict=True))
    assert all(each is other for each, other in zip(before, patched(), strict=True))
    for first in (True, False):
        if first:
            ThreadingInstrumentor().instrument()
        with instrumented(telemetry):
            if not first:
                ThreadingInstrumentor().instrument()
        ThreadingInstrumentor().uninstrument()
        assert all(each is other for each, other in zip(before, patched(), strict=True))


def test_threads_do_not_follow_if_the_user_says_so(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=threading` holds as under `opentelemetry-instrument`."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "logging, threading")
    with instrumented(telemetry), attribute(user="u1"):
        started([threading.Thread(target=ask)])
    assert [(span.attributes or {}).get("user.id") for span in telemetry.spans] == [None]


def test_a_thread_is_the_application_s_own_again_once_it_runs(telemetry: Telemetry) -> None:
    """It can be started once, keeps a `run` of its own, and a refused start leaves nothing on it."""
    seen: list[object] = []
    with instrumented(telemetry), attribute(user="u1"):
        thread = threading.Thread(target=lambda: seen.append(vars(thread).get("run")))
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
        other = threading.Thread()
        own = other.__dict__["run"] = lambda: seen.append(context.get_current() != {})
        other.start()
        other.join()
        assert vars(other)["run"] is own
    assert seen == [None, True]
    assert "run" not in vars(thread)


def square(number: int) -> int:
    return number * number


def test_pools_of_processes_work_as_without_us(telemetry: Telemetry) -> None:
    """What is sent to another process can be pickled."""
    spawn = multiprocessing.get_context("spawn")
    with instrumented(telemetry), attribute(user="u1"):
        with spawn.Pool(1) as pool:
            assert pool.map(square, [3]) == [9]
        with ProcessPoolExecutor(1, mp_context=spawn) as executor:
            assert executor.submit(square, 3).result() == 9


def test_the_exception_and_the_result_of_a_thread_are_passed_on(telemetry: Telemetry) -> None:
    """Nothing of a future changes."""
    with instrumented(telemetry), attribute(user="u1"):
        assert POOL.submit(max, 1, 2, key=lambda n: -n).result() == 1
        failed = POOL.submit(int, "no number")
        assert isinstance(failed.exception(), ValueError)
        with pytest.raises(TypeError):
            POOL.submit()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        assert concurrent.futures.wait([failed]).done == {failed}


@pytest.mark.parametrize("library", ["asyncio", "anyio", "trio"])
def test_a_block_that_a_thread_enters_for_a_task_is_not_lost(library: str, telemetry: Telemetry) -> None:
    """As a framework does that enters a synchronous context manager in a thread, and leaves it in another."""

    async def main() -> None:
        to_thread: dict[str, Any] = {
            "asyncio": asyncio.to_thread,
            "anyio": anyio.to_thread.run_sync,
            "trio": trio.to_thread.run_sync,
        }
        manager = attribute(user="u1")
        await to_thread[library](manager.__enter__)
        await to_thread[library](ask)
        ask()
        await to_thread[library](manager.__exit__, None, None, None)
        ask()

    with instrumented(telemetry):
        anyio.run(main, backend="trio" if library == "trio" else "asyncio")
    assert [(span.attributes or {}).get("user.id") for span in telemetry.spans] == ["u1", "u1", None]
