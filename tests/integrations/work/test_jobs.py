"""Celery, RQ and Dramatiq: each job has its own allowance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.redis_server import Server, binary

MADE: list[tuple[int, str]] = []
"""How many calls each job has made, and what refused it."""

CALL: list[Callable[[], object]] = []
"""Makes a call: RQ finds a job by the name of its function."""


def job(most: int) -> None:
    """Makes as many calls."""
    made = 0
    try:
        while made < most:
            CALL[0]()
            made += 1
    except BudgetExceeded as error:
        MADE.append((made, str(error)))
    else:
        MADE.append((made, ""))


def check(unit: str) -> None:
    """Thirty jobs of one call, one that calls without end, and one of three calls."""
    *tiny, (runaway, said), after = MADE
    assert tiny == [(1, "")] * 30
    assert (runaway, after) == (3, (3, ""))
    assert f"of {unit} " in said
    assert said.endswith(f" The next {unit} has a new allowance.")


@pytest.fixture(autouse=True)
def _called(telemetry: Telemetry, model_server: ModelServer) -> Any:
    MADE.clear()
    with client(answering(model_server)) as openai, budgeted(telemetry, trace_max_llm_calls=3):
        CALL[:] = [lambda: ask(openai)]
        yield


def test_a_celery_task_is_never_refused_for_another() -> None:
    """Applied eagerly, as a worker does it; a task that calls another directly stays one task."""
    celery = pytest.importorskip("celery", reason="celery is not here: `make frameworks`")
    app = celery.Celery("application", broker="memory://")
    inner = app.task(name="inner")(job)

    def call_directly(most: int) -> None:
        inner(most)

    outer = app.task(name="outer")(call_directly)
    for most in [*[1] * 30, 50, 3]:
        outer.apply((most,)).get()
    check("Celery task")
    assert until_refused(CALL[0])[0] == 3


@pytest.mark.filterwarnings("ignore:The `push_connection` function:DeprecationWarning")  # of rq 1.16 itself
@pytest.mark.filterwarnings("ignore:The `pop_connection` function:DeprecationWarning")
def test_an_rq_job_is_never_refused_for_another(tmp_path: Path) -> None:
    """A worker that runs its jobs in its own process, with a real server."""
    rq = pytest.importorskip("rq", reason="rq is not here: `make frameworks`")
    redis = pytest.importorskip("redis", reason="redis is not here: pip install 'otel-agentcost[redis]'")
    program = binary()
    if program is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    server = Server(program, tmp_path)
    server.start()
    try:
        connection = redis.Redis.from_url(server.url)
        queue = rq.Queue("jobs", connection=connection)
        for most in [*[1] * 30, 50, 3]:
            queue.enqueue(job, most)
        rq.SimpleWorker([queue], connection=connection).work(burst=True)
        connection.close()
    finally:
        server.stop()
    check("RQ job")


def test_a_dramatiq_message_is_never_refused_for_another() -> None:
    """A real worker with one thread."""
    dramatiq = pytest.importorskip("dramatiq", reason="dramatiq is not here: `make frameworks`")
    broker: Any = import_module("dramatiq.brokers.stub").StubBroker()
    broker.emit_after("process_boot")
    dramatiq.set_broker(broker)
    actor = dramatiq.actor(job, broker=broker, max_retries=0)
    worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=1)
    worker.start()
    try:
        for most in [*[1] * 30, 50, 3]:
            actor.send(most)
            broker.join(actor.queue_name)
        worker.join()
    finally:
        worker.stop()
        broker.close()
    check("Dramatiq message")
    assert threading.active_count() < 50
