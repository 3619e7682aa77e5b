"""Batches and their budgets: charged once, to the user, run or trace that created them, in whichever process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core.batch import batch_verbs
from otel_agentcost.guard.ledger import Amounts, Ledger, LedgerError, open_ledger
from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.conftest import redis_binary, redis_server
from tests.integrations.sdks.test_batches import PARAMS, PROGRAMS, Program, claude, settlements
from tests.support.batch_provider import BatchProvider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.redis_server import Server

__all__ = ["redis_binary", "redis_server"]

HAIKU, GPT = PROGRAMS["anthropic"], PROGRAMS["openai"]


@pytest.fixture
def provider(model_server: ModelServer) -> BatchProvider:
    provider = BatchProvider()
    model_server.responder = provider
    return provider


def spent(ledger: Ledger, key: str = "user/all/u1") -> Amounts:
    return ledger.standing(key, now=time.time()).spent


def held(ledger: Ledger, key: str = "user/all/u1") -> int:
    return ledger.standing(key, now=time.time()).held["nano_usd"]


def open_ones(ledger: Ledger) -> int:
    return len(batch_verbs(ledger).open_batches(now=time.time()))


def created(program: Program, url: str, user: str = "u1") -> None:
    with otel_agentcost.attribute(user=user):
        program.create(url)


def ask(url: str) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_tokens=9)


def test_a_batch_is_charged_to_the_user_who_created_it(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """Another user reads the results, past the limit: nothing is raised there, and the next call of the first is."""
    ledger = MemoryLedger()
    with budgeted(telemetry, budgets="user:usd=0.0003;total:usd=1", ledger=ledger):
        created(GPT, model_server.url)
        provider.finish()
        with otel_agentcost.attribute(user="u2"):
            GPT.read(model_server.url)
        assert spent(ledger)["nano_usd"] == spent(ledger, "total/all/")["nano_usd"] == 315_000
        assert spent(ledger)["tokens"] == 3300
        assert spent(ledger)["calls"] == 1
        assert spent(ledger, "user/all/u2")["nano_usd"] == 0
        with otel_agentcost.attribute(user="u1"), pytest.raises(BudgetExceeded):
            ask(model_server.url)
        with otel_agentcost.attribute(user="u1"), pytest.raises(BudgetExceeded):
            GPT.create(model_server.url)
    (settled,) = (span for span in telemetry.spans if span.name.startswith("settle_batch"))
    assert [event.name for event in settled.events].count("agentcost.budget.exceeded") == 1


def test_a_batch_is_charged_to_its_run(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """A run with an allowance that polls until the batch has ended; the call that created it has a price then."""
    with budgeted(telemetry), otel_agentcost.run("job", usd=1) as run:
        HAIKU.create(model_server.url)
        assert run.unpriced_calls == 1
        provider.finish()
        HAIKU.read(model_server.url)
        assert float(run.cost_usd or 0) == pytest.approx(HAIKU.usd)
        assert float(run.remaining_usd or 0) == pytest.approx(1 - HAIKU.usd)
        assert (run.llm_calls, run.unpriced_calls) == (1, 0)


def test_a_reading_that_is_left_early_settles_what_it_has_read(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """Each line once, though results come in another order the next time; the batch stays open until it was read."""
    ledger = MemoryLedger()
    with budgeted(telemetry, budgets="user:usd=1", ledger=ledger):
        created(HAIKU, model_server.url)
        provider.finish()
        with claude(model_server.url) as client:
            results = client.messages.batches.results("msgbatch_1")
            next(iter(results))
            results.close()
        assert open_ones(ledger) == 1
        provider.order = -1
        HAIKU.read(model_server.url)
        HAIKU.read(model_server.url)
        assert open_ones(ledger) == 0
        assert spent(ledger)["nano_usd"] == 2_250_000
    assert sum(each["agentcost.cost.usd"] for each in settlements(telemetry)) == pytest.approx(HAIKU.usd)


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini file"])
def test_a_batch_without_an_answered_line_costs_nothing(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider, name: str
) -> None:
    """Failed, expired and cancelled ones are closed by the first poll that says so."""
    ledger, program = MemoryLedger(), PROGRAMS[name]
    with budgeted(telemetry, budgets="user:usd=1", ledger=ledger):
        created(program, model_server.url)
        program.poll(model_server.url)
        assert open_ones(ledger) == 1
        provider.ended, provider.answered = ("cancelled", "ended", "CANCELLED", "CANCELLED"), 0
        provider.finish()
        program.poll(model_server.url)
        assert open_ones(ledger) == 0
        assert spent(ledger)["nano_usd"] == 0
    assert settlements(telemetry) == []


def test_a_cancelled_batch_costs_its_answered_lines(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """Two lines were answered before; those that were not are free."""
    with budgeted(telemetry):
        GPT.create(model_server.url)
        provider.ended, provider.answered = ("cancelled", "ended", "CANCELLED", "CANCELLED"), 2
        provider.finish()
        GPT.read(model_server.url)
    (settled,) = settlements(telemetry)
    assert settled["agentcost.cost.usd"] == pytest.approx(GPT.usd * 2 / 3)


def test_results_of_an_unknown_batch_are_not_charged(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """Another process has created it, with a ledger of its own: nothing says whose it is, or if it was read before."""
    provider.finish()
    with budgeted(telemetry):
        for program in (GPT, HAIKU):
            program.read(model_server.url)
    assert telemetry.spans == ()


class _Failing(MemoryLedger):
    """A ledger that is down while `down` is true."""

    down = False

    def count_lines(self, *args: Any, **kwargs: Any) -> Any:
        if self.down:
            raise LedgerError("it is down")
        return super().count_lines(*args, **kwargs)


def test_a_ledger_that_is_down_leaves_the_lines_for_the_next_reading(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """The program reads its results, nothing is charged, and the batch stays open."""
    ledger = _Failing()
    with budgeted(telemetry, budgets="user:usd=1", ledger=ledger):
        created(HAIKU, model_server.url)
        provider.finish()
        ledger.down = True
        assert "q0" in HAIKU.read(model_server.url)
        assert settlements(telemetry) == []
        ledger.down = False
        assert open_ones(ledger) == 1
        time.sleep(1.1)  # the pause after a failure
        HAIKU.read(model_server.url)
        assert spent(ledger)["nano_usd"] == 2_250_000
    assert "results are not counted yet" in caplog.text


# --- other processes ---


def worker(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.calls.budgets.batch_worker", *words]
    return subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("kind", "name"), [("sqlite", "openai async"), ("redis", "anthropic")])
def test_processes_that_race_settle_a_batch_once(
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    provider: BatchProvider,
    tmp_path: Path,
    kind: str,
    name: str,
) -> None:
    """One process creates it; two others read the results at the same time, and one reads them again later."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    if kind == "redis":
        server: Server = request.getfixturevalue("redis_server")
        server.empty()
        url = server.url
    words = (name, model_server.url, url)
    worker("create", *words).communicate(timeout=60)
    provider.finish()
    started = [worker("read", *words) for _ in range(2)]
    told = [json.loads(each.communicate("\n", timeout=60)[0]) for each in started]
    told.append(json.loads(worker("read", *words).communicate("\n", timeout=60)[0]))
    usd = PROGRAMS[name].usd
    assert sum(map(sum, told)) == pytest.approx(usd)
    assert told[-1] == []
    ledger = open_ledger(url)
    assert spent(ledger)["nano_usd"] == round(usd * 1e9)
    assert open_ones(ledger) == 0
    ledger.close()


# --- reservations ---


@pytest.mark.parametrize("name", ["anthropic", "gemini inlined"])
def test_a_batch_reserves_its_worst_case_at_batch_prices(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider, name: str
) -> None:
    """From its creation until it is settled; by default nothing."""
    provider.inlined = True
    reserved = []
    for reserve in (False, True):
        ledger, program = MemoryLedger(), PROGRAMS[name]
        provider.finished = False
        with budgeted(telemetry, budgets="user:usd=1", ledger=ledger, reserve_batches=reserve):
            created(program, model_server.url)
            reserved.append(held(ledger))
            program.poll(model_server.url)
            assert held(ledger) == reserved[-1]
            provider.finish()
            program.read(model_server.url)
            assert held(ledger) == 0
            assert spent(ledger)["nano_usd"] == round(program.usd * 1e9)
            assert spent(ledger)["calls"] == 1
    assert reserved[0] == 0
    if name == "anthropic":  # five requests of at most 100 tokens at $2.50 a million, and their input
        assert 5 * 100 * 2500 < reserved[1] < 5 * (100 * 2500 + 500 * 500)
    assert reserved[1] > 0


def test_a_batch_that_does_not_fit_is_refused(
    telemetry: Telemetry, model_server: ModelServer, provider: BatchProvider
) -> None:
    """Before it is sent. Two that fit alone do not fit together, until the first has ended."""
    ledger = MemoryLedger()
    with budgeted(telemetry, budgets="user:usd=0.002", ledger=ledger, reserve_batches=True, wait_seconds=0):
        created(HAIKU, model_server.url)
        sent = len(model_server.requests)
        with pytest.raises(BudgetExceeded):
            created(HAIKU, model_server.url)
        assert len(model_server.requests) == sent
        provider.ended, provider.answered = ("cancelled", "ended", "CANCELLED", "CANCELLED"), 0
        provider.finish()
        HAIKU.poll(model_server.url)
        assert held(ledger) == 0
        created(HAIKU, model_server.url)


def test_a_batch_of_a_file_reserves_what_was_uploaded(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Half the worst case of each line in the file; a file that was uploaded elsewhere has no known cost."""
    body = {"model": "gpt-4o-mini", "max_tokens": 1000, "messages": PARAMS["messages"]}
    line = {"custom_id": "q", "method": "POST", "url": "/v1/chat/completions", "body": body}
    provider = BatchProvider()
    model_server.responder = provider
    ledger = MemoryLedger()
    with budgeted(telemetry, budgets="user:usd=1", ledger=ledger, reserve_batches=True):
        with OpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
            content = "\n".join(json.dumps(line) for _ in range(10)).encode()
            client.files.create(file=("in.jsonl", content), purpose="batch")
        created(GPT, model_server.url)
        assert 10 * 1000 * 300 < held(ledger) < 10 * (1000 * 300 + 200 * 75)
    refusing = budgeted(telemetry, budgets="user:usd=1", reserve_batches=True, unpriced="refuse")
    with refusing, pytest.raises(BudgetExceeded, match="was not uploaded by this process"):
        created(GPT, model_server.url)
