"""Answers that one process begins and another one reads: charged once, to those who asked for them.

The tests with one process instrument it anew in between: nothing but the ledger remembers what was begun.
"""

# The SDK says that its API for assistants is old:
# pyright: reportDeprecated=false

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import pytest
import requests
from google import genai
from openai import AsyncOpenAI, OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.guard.ledger import LedgerError, open_ledger
from otel_agentcost.guard.ledger.sqlite import SqliteLedger
from otel_agentcost.settings.hosts import to_hosts
from tests.conftest import redis_binary, redis_server
from tests.integrations.sdks import (
    test_anthropic_sessions,
    test_gemini_interactions,
    test_runs_of_assistants,
    test_unfinished_answers,
)
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.redis_server import Server

__all__ = ["redis_binary", "redis_server"]

USD = float(test_unfinished_answers.USD)


class Provider:
    """Plays OpenAI, Gemini and Anthropic: an answer goes on until `finish`."""

    def __init__(self) -> None:
        self.finished = False
        self.sessions = test_anthropic_sessions.Provider()

    def finish(self) -> None:
        """The answers are finished."""
        self.finished = True

    def __call__(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        over = self.finished and request.method != "POST"
        if "/sessions" in path:
            return self.sessions(request)
        if "/interactions" in path:
            return json_reply(test_gemini_interactions.interaction("completed" if over else "in_progress"))
        if "/runs" in path:
            done = test_runs_of_assistants.run("completed", usage=test_runs_of_assistants.USAGE)
            return json_reply(done if over else test_runs_of_assistants.run("queued"))
        if "stream=true" in request.path:
            return test_unfinished_answers.FINISHED if over else test_unfinished_answers.BROKEN
        return test_unfinished_answers.DONE if over else test_unfinished_answers.QUEUED


@pytest.fixture
def provider(model_server: ModelServer) -> Provider:
    made = Provider()
    model_server.responder = made
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


def nano(ledger: str, key: str = "user/all/u1") -> int:
    opened = open_ledger(ledger)
    found = opened.standing(key, now=time.time()).spent["nano_usd"]
    opened.close()
    return found


# --- two processes ---


class Process(AbstractContextManager["Process"]):
    """An instrumented process."""

    def __init__(self, url: str, ledger: str) -> None:
        command = [sys.executable, "-m", "tests.calls.budgets.answer_worker", url, ledger]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, task: str) -> None:
        """Begin a task."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Return what the process has charged up to now."""
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def do(self, task: str) -> dict[str, Any]:
        """Do a task."""
        self.begin(task)
        return self.end()

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


def check_two_processes(url: str, provider: Provider, ledger: str) -> None:
    with Process(url, ledger) as server, Process(url, ledger) as worker:
        assert server.do("begin u1")["usd"] == 0
        assert nano(ledger) > 1e9 * USD, "the worst case"
        assert worker.do("read u2")["usd"] == 0
        provider.finish()
        for process in (worker, server):
            process.begin("read u2")
        read = [process.end() for process in (worker, server)]
        again = [process.do("read u2") for process in (worker, server)]
    assert sorted(each["usd"] for each in read) == sorted(each["usd"] for each in again) == [0, pytest.approx(USD)]
    assert sorted(each["charged"] for each in again) == [[], ["u1"]]
    assert nano(ledger) == round(1e9 * USD)
    assert nano(ledger, "user/all/u2") == 0


def test_two_processes_with_a_file(model_server: ModelServer, provider: Provider, ledger: str) -> None:
    """A web server begins, a worker polls, both read the end at once: one charges it, to the user of the first."""
    check_two_processes(model_server.url, provider, ledger)


def test_two_processes_with_redis(model_server: ModelServer, provider: Provider, redis_server: Server) -> None:
    """The same for a fleet."""
    redis_server.empty()
    check_two_processes(model_server.url, provider, redis_server.url)


def test_two_processes_with_ledgers_in_memory(model_server: ModelServer, provider: Provider) -> None:
    """Only the process that has begun an answer can charge it. The other one says, once, what would help."""
    with Process(model_server.url, "memory://") as server, Process(model_server.url, "memory://") as worker:
        server.do("begin u1")
        for _ in range(2):
            worker.do("read u2")
        provider.finish()
        (line,) = worker.do("read u2")["logged"]
        assert worker.do("read u2")["usd"] == 0
        found = server.do("read u1")
    assert "another process has begun it" in line
    assert "OTEL_AGENTCOST_LEDGER" in line
    assert found["usd"] == pytest.approx(USD)
    assert (found["charged"], found["logged"]) == (["u1"], [])


# --- every way to read an answer ---


class Program(NamedTuple):
    """An application, and what its answer costs."""

    begin: Callable[[str], object]
    read: Callable[[str], object]
    usd: float


def openai(url: str, act: Callable[[OpenAI], object]) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        act(client)


def begin(url: str) -> None:
    openai(url, lambda client: client.responses.create(**test_unfinished_answers.ASK))


def stream(client: OpenAI) -> None:
    for _ in client.responses.retrieve("resp_1", stream=True):
        pass


def raw(client: OpenAI) -> None:
    with client.responses.with_streaming_response.retrieve("resp_1") as answer:
        answer.read()


def raw_stream(client: OpenAI) -> None:
    with client.responses.with_streaming_response.retrieve("resp_1", stream=True) as answer:
        for _ in answer.iter_lines():
            pass


def http_stream(url: str) -> None:
    requests.get(f"{url}/v1/responses/resp_1?stream=true", timeout=9)


def asynchronous(*, streamed: bool) -> Callable[[str], None]:
    async def main(url: str) -> None:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            if streamed:
                async for _ in await client.responses.retrieve("resp_1", stream=True):
                    pass
            else:
                await client.responses.retrieve("resp_1")

    return lambda url: asyncio.run(main(url))


def claude(url: str, act: Callable[[Any], object]) -> None:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        act(client.beta.sessions)


def send(url: str) -> None:
    claude(url, lambda sessions: sessions.events.send("sesn_1", events=[test_anthropic_sessions.EVENT]))


def read_session(url: str) -> None:
    claude(url, lambda sessions: sessions.retrieve("sesn_1"))


def turn(url: str) -> None:
    claude(url, lambda sessions: sessions.create(agent="agent_1", environment_id="env_1"))
    send(url)


def interact(url: str, call: Callable[[Any], object]) -> None:
    with genai.Client(api_key="none", http_options={"base_url": url}) as client:
        call(client.interactions)


ASK = {**test_gemini_interactions.ASK, "background": True}
PROGRAMS: Mapping[str, Program] = {
    "openai": Program(begin, lambda url: openai(url, lambda client: client.responses.retrieve("resp_1")), USD),
    "openai stream": Program(begin, lambda url: openai(url, stream), USD),
    "openai raw": Program(begin, lambda url: openai(url, raw), USD),
    "openai raw stream": Program(begin, lambda url: openai(url, raw_stream), USD),
    "openai async": Program(begin, asynchronous(streamed=False), USD),
    "openai async stream": Program(begin, asynchronous(streamed=True), USD),
    "http": Program(begin, lambda url: requests.get(f"{url}/v1/responses/resp_1", timeout=9), USD),
    "http stream": Program(begin, http_stream, USD),
    "assistant": Program(
        lambda url: openai(url, lambda client: client.beta.threads.runs.create(**test_runs_of_assistants.ASK)),
        lambda url: openai(url, lambda client: client.beta.threads.runs.retrieve("run_1", thread_id="thread_1")),
        0.0035,
    ),
    "gemini": Program(
        lambda url: interact(url, lambda interactions: interactions.create(**ASK)),
        lambda url: interact(url, lambda interactions: interactions.get("int_1")),
        test_gemini_interactions.USD,
    ),
    "session": Program(turn, read_session, test_anthropic_sessions.TURN),
}
HOSTS = to_hosts("127.0.0.1=openai")


def wait(telemetry: Telemetry, usd: float) -> None:
    """Waits for the threads that ask the ledger for programs with an event loop."""
    for _ in range(200):
        if telemetry.total("agentcost.cost") >= usd * 0.99:
            return
        time.sleep(0.02)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_answer_is_charged_once_however_it_is_read(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str, program: Program
) -> None:
    """To the user and the budget of the call that began it, with a link to its span."""
    settings: dict[str, Any] = {"budgets": "user:usd=1", "ledger": ledger, "hosts": HOSTS}
    with budgeted(telemetry, **settings), otel_agentcost.attribute(user="u1"):
        program.begin(model_server.url)
    (begun,) = telemetry.spans
    assert "agentcost.unpriced" in (begun.attributes or {})
    provider.finish()
    with budgeted(telemetry, **settings), otel_agentcost.attribute(user="u2"), otel_agentcost.run("fetch"):
        for _ in range(3):
            program.read(model_server.url)
            wait(telemetry, program.usd)
    assert telemetry.total("agentcost.cost") == pytest.approx(program.usd, abs=1e-12)
    (charged,) = [span for span in telemetry.spans if "agentcost.cost.usd" in (span.attributes or {})][:1]
    assert (charged.attributes or {})["user.id"] == "u1"
    assert begun.context is not None
    assert [link.context.span_id for link in charged.links] == [begun.context.span_id]
    assert telemetry.attributes("invoke_workflow fetch")["agentcost.trace.cost_usd"] == pytest.approx(program.usd)
    assert nano(ledger) == pytest.approx(1e9 * program.usd, abs=1)


def test_turns_of_a_session_in_two_processes_are_charged_once(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str
) -> None:
    """The ledger knows what was charged. Turns that nobody has read hold no budget."""
    del provider
    url, settings = model_server.url, {"budgets": "user:usd=1", "ledger": ledger}
    with otel_agentcost.attribute(user="u1"):
        for number in range(3):
            with budgeted(telemetry, **settings):
                if number == 0:
                    turn(url)
                for _ in range(2):
                    send(url)
            with budgeted(telemetry, **settings):
                for _ in range(2):
                    read_session(url)
    assert telemetry.total("agentcost.cost") == pytest.approx(7 * test_anthropic_sessions.TURN)
    assert nano(ledger) == pytest.approx(7e9 * test_anthropic_sessions.TURN, abs=10)


def test_the_process_that_began_it_has_it_in_its_run(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str
) -> None:
    """A shared ledger takes nothing from a program with one process; many threads read at once."""
    with budgeted(telemetry, budgets="total:usd=1", ledger=ledger), otel_agentcost.run("report", usd=1) as run:
        begin(model_server.url)
        assert (run.cost_usd, run.unpriced_calls) == (None, 1)
        provider.finish()
        threads = [threading.Thread(target=PROGRAMS["openai"].read, args=(model_server.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (run.cost_usd, run.llm_calls, run.unpriced_calls) == (test_unfinished_answers.USD, 1, 0)
        assert 1 - float(run.remaining_usd or 0) == pytest.approx(USD)
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


def test_an_unfinished_answer_is_never_overspent_in_another_process(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, ledger: str
) -> None:
    """Its worst case counts until its end is read, wherever that is; a cancelled one keeps it."""
    settings: dict[str, Any] = {"budgets": "total:usd=0.1", "ledger": ledger}
    with budgeted(telemetry, **settings):
        begin(model_server.url)
    with budgeted(telemetry, **settings):
        model_server.responder = lambda _: test_unfinished_answers.CANCELLED
        openai(model_server.url, lambda client: client.responses.cancel("resp_1"))
        with pytest.raises(BudgetExceeded):
            begin(model_server.url)
        provider.finish()
        model_server.responder = provider
        PROGRAMS["openai"].read(model_server.url)
    assert nano(ledger, "total/all/") == round(1e9 * USD)


class Failing(SqliteLedger):
    """A ledger that has lost its notes."""

    down = True

    def swap_note(self, key: str, before: str | None, after: str | None, *, now: float, until: float) -> bool:
        if self.down:
            raise LedgerError("no")
        return super().swap_note(key, before, after, now=now, until=until)


def test_an_answer_whose_note_could_not_be_kept_is_charged_by_its_process(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider, tmp_path: Path
) -> None:
    """Once, whether the ledger answers again or not."""
    for number, again in enumerate((False, True), start=1):
        ledger = Failing(tmp_path / f"ledger{number}.db", 5)
        provider.finished = False
        with warnings_of_ours() as warned, budgeted(telemetry, budgets="total:usd=1", ledger=ledger):
            begin(model_server.url)
            provider.finish()
            ledger.down = not again
            time.sleep(1.1)  # the pause after a failure
            for _ in range(2):
                PROGRAMS["openai"].read(model_server.url)
        assert telemetry.total("agentcost.cost") == pytest.approx(number * USD)
        assert any("does not answer" in line for line in warned)


def test_the_same_id_at_two_providers_is_two_answers(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider
) -> None:
    """One at OpenAI's address and one at another: neither hides the other."""
    del provider
    with ModelServer() as other:
        second = Provider()
        other.responder = second
        with budgeted(telemetry, budgets="total:usd=1"):
            begin(model_server.url)
            begin(other.url)
            second.finish()
            for url in (model_server.url, other.url):
                PROGRAMS["openai"].read(url)
            assert telemetry.total("agentcost.cost") == pytest.approx(USD)
            model_server.responder = second
            for url in (model_server.url, other.url):
                PROGRAMS["openai"].read(url)
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * USD)
