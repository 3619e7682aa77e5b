"""A storm: calls that the exception of a signal handler interrupts, and what became of each of them."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx2
import openai
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

import otel_agentcost
from otel_agentcost import Settings, runtime
from otel_agentcost.calls import active
from otel_agentcost.testing.server import Reply, Request, json_reply
from otel_agentcost.testing.transports import transports
from tests.support.budgeted_calls import ASK
from tests.support.replies import chat, chat_stream


class TimeLimit(Exception):
    """An `Exception`, as Celery's `SoftTimeLimitExceeded` is."""


class Watch(SpanProcessor):
    """Every span that started."""

    def __init__(self) -> None:
        self.started: list[Span] = []

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        del parent_context
        self.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Its end time says it."""


class Storm:
    """A handler that raises, and what became of each exception."""

    def __init__(self) -> None:
        self.raised: list[TimeLimit] = []
        self.arrived: set[int] = set()
        self.in_finalizers: set[int] = set()

    def handler(self, number: int, frame: object) -> None:
        del number, frame
        error = TimeLimit(len(self.raised))
        self.raised.append(error)
        raise error

    def saw(self, error: BaseException | None, where: set[int]) -> None:
        """Notes an exception and those that it was made of: the SDK raises its own from whatever it meets."""
        while error is not None:
            if isinstance(error, TimeLimit):
                where.add(error.args[0])
            error.__traceback__ = None  # as an application that has handled it: nothing keeps its frames
            error = error.__cause__ or error.__context__

    def swallowed(self) -> list[TimeLimit]:
        """The exceptions that did not arrive. Their tracebacks begin where they were swallowed: in the SDK, or here."""
        return [error for error in self.raised if error.args[0] not in self.arrived | self.in_finalizers]

    def unraisable(self, unraisable: Any) -> None:
        self.saw(unraisable.exc_value, self.in_finalizers)

    def call(self, make: Callable[[], object], within: float) -> None:
        """Makes a call during which, or shortly after which, the handler raises once."""
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, within))
                make()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except (TimeLimit, openai.APIConnectionError) as error:
            self.saw(error, self.arrived)


@contextlib.contextmanager
def storming(ledger: str, watch: Watch) -> Generator[Storm]:
    storm = Storm()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(watch)
    limits: Any = "total:usd=1000,calls=1000000;user/day:usd=500;user/24h:usd=500"
    settings = Settings(ledger=ledger, budgets=limits, user="u1")
    runtime.start(tracer_provider=provider, settings=settings)
    before, hook = signal.signal(signal.SIGALRM, storm.handler), sys.unraisablehook
    sys.unraisablehook = storm.unraisable
    try:
        yield storm
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
        otel_agentcost.uninstrument()


class Answers:
    """The provider, which counts what it answered."""

    def __init__(self) -> None:
        self.served = 0

    def __call__(self, request: Request) -> Reply:
        self.served += 1
        return chat_stream() if request.json.get("stream") else json_reply(chat())


def client(answers: Answers) -> openai.OpenAI:
    transport = transports("httpx2")[0](answers)
    return openai.OpenAI(api_key="none", max_retries=0, http_client=httpx2.Client(transport=transport))


def whole(made: openai.OpenAI) -> None:
    made.chat.completions.create(**ASK)


def streamed(made: openai.OpenAI) -> None:
    with made.chat.completions.create(**ASK, stream=True) as stream:
        for _ in stream:
            pass


def stopped(made: openai.OpenAI) -> None:
    with made.chat.completions.create(**ASK, stream=True) as stream:
        next(stream)


def within_run(made: openai.OpenAI) -> None:
    with otel_agentcost.run("r", usd=1):
        whole(made)


def within_tool(made: openai.OpenAI) -> None:
    with otel_agentcost.tool_call("look", usd=0.001):
        whole(made)


SHAPES = (whole, streamed, stopped, within_run, within_tool)


def held_and_spent() -> tuple[dict[str, int], dict[str, int]]:
    """The sums of the budget over everything, from the ledger."""
    running = active.active()
    assert running is not None
    assert running.gates.gate is not None
    guard = running.gates.gate.guard
    ledger: Any = guard.ledger.wrapped
    ledger = getattr(ledger, "_ledger", ledger)
    if isinstance(getattr(ledger, "path", None), Path):
        with contextlib.closing(sqlite3.connect(ledger.path)) as connection:
            rows = connection.execute(
                "SELECT held_nano_usd, held_calls, nano_usd, calls, tool_calls FROM accounts"
            ).fetchall()
            open_holds = connection.execute("SELECT count(*) FROM holds").fetchone()[0]
    else:
        accounts = ledger._accounts.values()
        units = ("nano_usd", "calls", "tool_calls")
        rows = [(a.held["nano_usd"], a.held["calls"], *(a.spent[unit] for unit in units)) for a in accounts]
        open_holds = len(ledger._holds)
    held = {"nano_usd": sum(row[0] for row in rows), "calls": sum(row[1] for row in rows), "holds": open_holds}
    spent = {"nano_usd": max(row[2] for row in rows), "calls": max(row[3] for row in rows)}
    spent["tool_calls"] = max(row[4] for row in rows)
    return held, spent
