"""A budget of a trace, or of a run, is one budget in every process that the trace visits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import propagate

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.calls.budgets.service import forward
from tests.conftest import redis_binary, redis_server
from tests.support.budgeted_calls import USD, answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.redis_server import Server

__all__ = ["redis_binary", "redis_server"]

Start = Callable[..., str]


@pytest.fixture
def start(model_server: ModelServer, redis_server: Server) -> Iterator[Start]:
    """Starts a service process, and returns the line that it prints when it is ready."""
    redis_server.empty()
    answering(model_server)
    running: list[subprocess.Popen[str]] = []

    def begin(kind: str, settings: dict[str, Any], **more: str) -> str:
        given: dict[str, Any] = {"model": model_server.url + "/v1", "queue": redis_server.url, **more}
        given["settings"] = {"ledger": redis_server.url, "ledger_timeout": "5", **settings}
        command = [sys.executable, "-m", "tests.calls.budgets.service", kind, json.dumps(given)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_two_services_and_a_worker_share_the_budget_of_a_trace(
    start: Start, redis_server: Server, model_server: ModelServer
) -> None:
    """Eight calls over three processes in one trace, a budget for five: five are made. The next trace has its own."""
    settings = {"trace_max_llm_calls": "5"}
    second = start("web", settings)
    first = start("web", settings, next=f"http://127.0.0.1:{second}")
    assert start("worker", settings) == "ready"
    telemetry = Telemetry()
    tracer = telemetry.tracer_provider.get_tracer("app")
    for _ in range(2):
        model_server.requests.clear()
        with tracer.start_as_current_span("request"):
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            said: list[str] = []
            for _ in range(2):
                said += forward(f"http://127.0.0.1:{first}")
                redis_server.client.rpush("jobs", json.dumps(carrier), json.dumps(carrier))
                for _ in range(2):
                    said += json.loads(redis_server.client.blpop("done", timeout=30)[1])
        assert [words for words in said if words == "made"] == ["made"] * 5
        assert all("trace:calls=5" in words for words in said if words != "made")
        assert len(said) == 8
        assert len(model_server.requests) == 5
    telemetry.shutdown()


def test_an_allowance_goes_with_the_request(
    start: Start, redis_server: Server, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A run's dollars are also those of the services that it calls, which have no budgets of their own."""
    service = f"http://127.0.0.1:{start('web', {})}"
    ledger = {"ledger": redis_server.url, "ledger_timeout": "5"}
    with client(model_server) as openai, budgeted(telemetry, **ledger):
        with otel_agentcost.run("spread out", usd="0.0003") as run:
            assert forward(service) == ["made"]
            assert run.remaining_usd == Decimal("0.0003") - Decimal(str(USD))
            for _ in range(9):
                forward(service)
            (refusal,) = forward(service)
            assert 'run="spread out"' in refusal or "run=spread out" in refusal
            with pytest.raises(BudgetExceeded):
                ask(openai)
            assert (run.remaining_usd or 0) < Decimal(str(USD)) * 2
        with otel_agentcost.run("another", usd="0.0003"):
            assert forward(service) == ["made"]
    assert run.cost_usd == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_clean(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It has its own allowance of a process, and what the parent's calls in flight hold is none of its business."""
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="process:calls=2"):
        stream = ask(openai, stream=True)
        ask(openai)
        with pytest.raises(BudgetExceeded):
            ask(openai)
        child = os.fork()
        if not child:
            code = 1
            try:
                with client(model_server) as own:
                    ask(own)
                    ask(own)
                    try:
                        ask(own)
                    except BudgetExceeded:
                        code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stream.close()
        with pytest.raises(BudgetExceeded):
            ask(openai)
