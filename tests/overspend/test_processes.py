"""Never overspent by eight processes that share a ledger: on the guard, and through the real SDK."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from otel_agentcost.guard.ledger import open_ledger
from tests.overspend import audit, guard_load, load, sdk_load, worker
from tests.overspend.audit import Told
from tests.overspend.load import EDGE, Figures, Spent
from tests.overspend.sdk_load import IN_A_RUN, Ended, Provider
from tests.support.model_server import ModelServer

PROCESSES = 8
THREADS = 8
"""In each."""

Processes = list[subprocess.Popen[str]]


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    """Eight processes, for all storms of this module."""
    with worker.workers(PROCESSES) as started:
        yield started


@pytest.fixture(params=[kind for kind in load.KINDS if kind != "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    """The ledgers that processes can share."""
    return str(request.param)


def test_eight_processes_never_overspend(processes: Processes, url: str, kind: str, seed: int) -> None:
    """Eight guards of eight threads each; each process says what it settled, and the ledger has the sum."""
    calls = 8
    rules = guard_load.rules(PROCESSES * THREADS * calls)
    ledger = open_ledger(url, timeout=5)
    limits = load.limits_of(rules)
    began = time.monotonic()
    order = {"task": "guard", "ledger": url, "rules": rules, "seed": seed, "threads": THREADS, "calls": calls}
    with load.watched(ledger, url, limits, lambda: EDGE) as witness:
        witness.keys |= {"trace/all/t0", "tenant/all/o0", "total/2099-12-31/", "total/2100-01-01/"}
        answers = worker.ask_all(processes, {**order, "wait": 0.0 if seed % 2 == 1 else 2.0})
    spent: Spent = Counter()
    figures = Figures(what="guard, 8 processes", ledger=kind, seed=seed)
    for answer in answers:
        assert answer["kept"] == 0
        spent.update({(key, unit): amount for key, unit, amount in answer["spent"]})
        figures.calls += answer["calls"]
        figures.admitted += answer["admitted"]
        figures.refused += answer["refused"]
    load.agrees(ledger, spent, EDGE)
    figures.looks, figures.overshoot = witness.looks, witness.overshoot
    figures.used, figures.seconds = load.used(spent, limits), time.monotonic() - began
    load.ALL.append(figures)
    ledger.close()
    assert figures.overshoot == 0
    assert min(figures.admitted, figures.refused) > 50


def test_eight_processes_never_overspend_through_the_sdk(
    processes: Processes, model_server: ModelServer, url: str, kind: str, seed: int
) -> None:
    """Eight applications of four threads each, over real connections to one provider."""
    rules = sdk_load.rules(PROCESSES * 4 * IN_A_RUN)
    limits = sdk_load.limits_of(rules)
    provider = model_server.responder = Provider(seed)
    ledger = open_ledger(url, timeout=5)
    began = time.monotonic()
    order: dict[str, Any] = {"task": "line", "ledger": url, "server": model_server.url, "rules": rules, "seed": seed}
    with load.watched(ledger, url, limits, time.time) as witness:
        witness.keys |= {"total/all/", "user/all/u0", "model/all/gpt-4o-mini"}
        answers = worker.ask_all(processes, {**order, "threads": 4, "wait": 0 if seed % 2 == 1 else 1})
    ended = [Ended(**each) for answer in answers for each in answer["ended"]]
    said = [Told(**each) for answer in answers for each in answer["said"]]
    runs = {name: value for answer in answers for name, value in answer["runs"].items()}
    audit.against_provider(ended, said, provider)
    spent = audit.against_ledger(ended, said, runs, ledger, limits, time.time())
    figures = Figures(what="openai, 8 processes", ledger=kind, seed=seed, looks=witness.looks)
    figures.overshoot = witness.overshoot
    audit.fill(figures, ended, said, provider)
    figures.used, figures.seconds = load.used(spent, limits), time.monotonic() - began
    load.ALL.append(figures)
    ledger.close()
