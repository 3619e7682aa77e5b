"""Never overspent, on the whole line: the real SDK, random answers, failures and retries, each ledger, many at once."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from otel_agentcost.calls import active
from tests.overspend import audit, load, sdk_load
from tests.overspend.load import Figures
from tests.overspend.sdk_load import IN_A_RUN, App, Provider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@contextmanager
def stormy(
    what: str, telemetry: Telemetry, url: str, kind: str, seed: int, calls: int
) -> Generator[tuple[App, Provider], None, None]:
    """An instrumented application in a storm, under the eyes of witnesses, and all that must hold after it."""
    rules = sdk_load.rules(calls)
    limits = sdk_load.limits_of(rules)
    app, provider = App(seed, "c"), Provider(seed)
    began = time.monotonic()
    settings = {"ledger": url, "ledger_timeout": "5", "wait_seconds": "0" if seed % 2 == 1 else "1"}
    with budgeted(telemetry, budgets=rules, **settings):
        runtime = active.active()
        assert runtime is not None
        ledger = runtime.gates.open().guard.ledger.wrapped
        with load.watched(ledger, url, limits, time.time) as witness:
            witness.keys |= {"total/all/", "user/all/u0", "model/all/gpt-4o-mini"}
            yield app, provider
            said = audit.told(telemetry, len(app.ended))
        spent = audit.against_ledger(app.ended, said, app.runs, ledger, limits, time.time())
    audit.against_provider(app.ended, said, provider)
    figures = Figures(what=what, ledger=kind, seed=seed, looks=witness.looks, overshoot=witness.overshoot)
    audit.fill(figures, app.ended, said, provider)
    figures.used = load.used(spent, limits)
    figures.seconds = time.monotonic() - began
    load.ALL.append(figures)


# An application that drops its streams leaves their sockets to the collector, on whatever thread it runs.
@pytest.mark.filterwarnings("ignore:.*unclosed.*socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*socket.*:pytest.PytestUnraisableExceptionWarning")
def test_threads_never_overspend(
    telemetry: Telemetry, model_server: ModelServer, url: str, kind: str, seed: int
) -> None:
    """64 threads, each in a run of its own, over real connections."""
    with stormy("openai, 64 threads", telemetry, url, kind, seed, 64 * IN_A_RUN) as (app, provider):
        model_server.responder = provider
        app.threads(model_server.url, 64)


async def test_tasks_never_overspend(telemetry: Telemetry, url: str, kind: str, seed: int) -> None:
    """1,000 tasks in 200 runs, one in eight of them cancelled somewhere."""
    with stormy("openai, 1,000 tasks", telemetry, url, kind, seed, 1000) as (app, provider):
        await app.tasks(provider, 1000)
