"""Exceptions of others that arrive in this package: those of signal handlers reach the application, and nothing stays.

Celery's soft time limit, pytest-timeout's alarm and rq's death penalty raise from a signal handler, wherever the main
thread is just then. The storm does so at random times in thousands of calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import context

from otel_agentcost import diagnostics
from otel_agentcost.calls.call import CURRENT
from otel_agentcost.calls.finalize import settle_pending
from otel_agentcost.testing.server import Reply, Request
from otel_agentcost.testing.transports import transports
from tests.calls.storm import SHAPES, Answers, Storm, TimeLimit, Watch, client, held_and_spent, storming, whole
from tests.support.budgeted_calls import ASK, USD

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")


def places(error: BaseException) -> list[str]:
    """Where an exception was raised and went, for the message of a failure."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]


def run_storm(storm: Storm, watch: Watch, answers: Answers, calls: int, log: pytest.LogCaptureFixture) -> None:
    made = client(answers)
    for shape in SHAPES:
        shape(made)
    began = time.perf_counter()
    for n in range(50):
        SHAPES[n % len(SHAPES)](made)
    usual = (time.perf_counter() - began) / 50
    outside = context.get_current()

    def beside() -> None:
        for _ in range(calls // 20):
            whole(made)

    threads = [threading.Thread(target=beside) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(calls):
        try:
            storm.call(partial(SHAPES[n % len(SHAPES)], made), 1.5 * usual)
        except TimeLimit as error:  # it came after the call, before the timer was stopped
            storm.saw(error, storm.arrived)
        assert CURRENT.get() is None
        context.attach(outside)
    for thread in threads:
        thread.join()
    gc.collect()
    settle_pending()  # of streams that were dropped within telemetry
    assert len(storm.raised) > calls / 10
    assert [places(error) for error in storm.swallowed() if "/otel_agentcost/" in places(error)[0]] == []
    held, spent = held_and_spent()
    # Python drops an exception that arrives where a finalizer begins before the first instruction of it. A reservation
    # that is lost so expires with its lease.
    assert held["holds"] <= calls // 10_000
    if not held["holds"]:
        assert held == {"nano_usd": 0, "calls": 0, "holds": 0}
    assert answers.served <= spent["calls"] <= answers.served + len(storm.raised)
    assert spent["nano_usd"] <= round(answers.served * USD * 1e9) + 1e6 * calls
    # A signal may arrive between the return of a function and the assignment of its result, everywhere in Python 3.10
    # and after calls of C functions in later versions. A span that is lost so holds no money.
    unreachable = [span.name for span in watch.started if span.end_time is None]
    assert len(unreachable) <= max(1, calls // (2_000 if sys.version_info >= (3, 11) else 400)), unreachable
    assert [record.getMessage() for record in log.records if "failed" in record.getMessage()] == []


@pytest.mark.parametrize("ledger", ["memory", "sqlite"])
def test_no_exception_of_a_signal_handler_is_swallowed_or_leaves_a_reservation(
    ledger: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole calls, streams, runs and tool calls, beside threads: each exception arrives, and each call ends once."""
    url = "memory://" if ledger == "memory" else f"sqlite:///{tmp_path}/ledger"
    watch = Watch()
    with storming(url, watch) as storm:
        run_storm(storm, watch, Answers(), 300, caplog)


@pytest.mark.parametrize("ledger", ["memory", "sqlite"])
def test_ten_thousand_interrupted_calls(ledger: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same, for a minute."""
    url = "memory://" if ledger == "memory" else f"sqlite:///{tmp_path}/ledger"
    watch = Watch()
    with storming(url, watch) as storm:
        run_storm(storm, watch, Answers(), 10_000, caplog)


# --- which exceptions are of others ---


def passed_on(handler: Callable[..., object], made_of_it: Exception | None = None) -> BaseException:
    """Raises a signal within code of this package, and returns what a border there raises again.

    Args:
        handler: The handler of the signal.
        made_of_it: What a library raises instead of the handler's exception.
    """
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        diagnostics.apart(partial(signal.raise_signal, signal.SIGUSR1))
    except BaseException as caught:
        arrived: BaseException = caught
        if made_of_it is not None:
            made_of_it.__cause__ = caught
            arrived = made_of_it
        try:
            diagnostics.report("doing something", arrived)
        except BaseException as again:
            return again
    finally:
        signal.signal(signal.SIGUSR1, before)
    raise AssertionError("nothing was raised, or it was swallowed")


class Bound:
    """Handlers come in every shape that can be called."""

    def method(self, number: int, frame: object) -> None:
        del number, frame
        raise TimeLimit

    def __call__(self, *_args: object) -> None:
        raise TimeoutError("too late")


def without_its_arguments(number: int, frame: object) -> None:
    del number, frame
    raise RuntimeError("time is up")


def raising(kind: type[Exception], *_args: object) -> None:
    raise kind


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (Bound().method, TimeLimit),
        (Bound(), TimeoutError),
        (without_its_arguments, RuntimeError),
        (partial(raising, OSError), OSError),
        (lambda *_: raising(ValueError), ValueError),
    ],
    ids=["method", "object", "without arguments", "partial", "lambda"],
)
def test_exception_of_any_signal_handler_is_told_apart(handler: Callable[..., object], kind: type[Exception]) -> None:
    """Also with the classes that this package handles itself."""
    assert type(passed_on(handler)) is kind


def test_exception_that_a_library_made_of_it_is_told_apart() -> None:
    """A client of a ledger translates what it meets: the original exception goes on."""
    assert type(passed_on(Bound().method, ConnectionError("lost"))) is TimeLimit


def test_own_failure_in_an_exception_handler_of_the_application_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The application handles a time limit, and calls a model there: a failure of this package is not that limit."""
    diagnostics.forget_causes()
    try:
        raise passed_on(Bound().method)
    except TimeLimit:
        try:
            diagnostics.without_password(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        except TypeError as bug:
            diagnostics.report("doing something", bug)
    assert "doing something failed with TypeError" in caplog.text


def test_exception_that_another_thread_sets_is_told_apart() -> None:
    """`PyThreadState_SetAsyncExc`, as dramatiq's and stopit's time limits do: there is no handler in the traceback."""
    caught: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                diagnostics.complete(lambda: None)
        except TimeLimit as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeLimit))
    thread.join(10)
    assert len(caught) == 1


def test_exit_while_a_call_is_made_is_not_taken_for_a_free_rejection() -> None:
    """`SystemExit` has a `code`, as the errors of SDKs have: the call's cost stays unknown, not zero."""
    watch = Watch()
    with storming("memory://", watch):

        def leave(_request: Request) -> Reply:
            raise SystemExit(1)

        made = openai.OpenAI(
            api_key="none", max_retries=0, http_client=httpx2.Client(transport=transports("httpx2")[0](leave))
        )
        with pytest.raises(SystemExit):
            whole(made)
        held, _ = held_and_spent()
    (span,) = (span for span in watch.started if span.name.startswith("chat"))
    assert "SystemExit" in str((span.attributes or {})["agentcost.unpriced"])
    assert held == {"nano_usd": 0, "calls": 0, "holds": 0}


async def test_cancellation_at_any_moment_leaves_no_reservation() -> None:
    """Tasks that are cancelled at random times, whole calls and streams."""
    watch, answers = Watch(), Answers()
    with storming("memory://", watch):
        transport = transports("httpx2")[1](answers)
        made = openai.AsyncOpenAI(api_key="none", max_retries=0, http_client=httpx2.AsyncClient(transport=transport))

        async def call(n: int) -> None:
            answer: Any = await made.chat.completions.create(**ASK, stream=bool(n % 2))
            if n % 2:
                async for _ in answer:
                    await asyncio.sleep(0)

        for n in range(150):
            task = asyncio.ensure_future(call(n))
            for _ in range(n % 25):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        gc.collect()
        settle_pending()
        held, spent = held_and_spent()
    assert held == {"nano_usd": 0, "calls": 0, "holds": 0}
    assert spent["calls"] >= answers.served
    assert [span.name for span in watch.started if span.end_time is None] == []
