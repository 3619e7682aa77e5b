"""A refusal costs nothing: no request, no memory, and no more time than the one before it."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from openai import OpenAI

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@contextmanager
def used_up(telemetry: Telemetry, server: ModelServer, **settings: str) -> Generator[OpenAI, None, None]:
    """An application whose budget is spent, by one call."""
    with client(answering(server)) as openai, budgeted(telemetry, budgets="total:calls=1;user:usd=1", **settings):
        ask(openai)
        yield openai


def refused(openai: OpenAI) -> float:
    """One refusal; how many seconds it took."""
    began = time.perf_counter()
    with pytest.raises(BudgetExceeded):
        ask(openai)
    return time.perf_counter() - began


def collected(telemetry: Telemetry) -> None:
    """Drops what the test itself keeps, the spans, and what nobody keeps."""
    telemetry.clear()
    gc.collect()


def test_refusals_send_nothing_and_do_not_slow_down(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Of ten thousand in a row the last thousands take as long as the first. The server has heard of none, and there
    are as many objects as before.
    """
    took: list[float] = []
    objects: list[int] = []
    with used_up(telemetry, model_server) as openai:
        for _ in range(10):
            took += [refused(openai) for _ in range(1000)]
            collected(telemetry)
            objects.append(len(gc.get_objects()))
    assert len(model_server.requests) == 1
    # Their fastest tenths, and the best of three thousands: whatever else the machine does meanwhile is in the others.
    fastest = [statistics.quantiles(took[start : start + 1000], n=10)[0] for start in range(0, 10_000, 1000)]
    assert min(fastest[-3:]) < 1.5 * min(fastest[:3])
    assert objects[-1] - objects[0] < 100


def test_refusals_leave_nothing_behind(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Not even a few bytes each."""
    traced: list[int] = []
    with used_up(telemetry, model_server) as openai:
        tracemalloc.start()
        try:
            for number in (300, 1000):
                for _ in range(number):
                    refused(openai)
                collected(telemetry)
                traced.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert traced[1] - traced[0] < 16 * 1000


@pytest.mark.parametrize("ledger", ["sqlite", "redis"])
def test_refusals_leave_nothing_in_a_ledger(
    telemetry: Telemetry, model_server: ModelServer, ledger: str, request: pytest.FixtureRequest
) -> None:
    """A shared ledger keeps no record of calls that were not made."""
    if ledger == "redis":
        server = request.getfixturevalue("redis_server")
        server.empty()
        url = server.url
        size: Callable[[], int] = lambda: int(server.client.dbsize())  # noqa: E731
    else:
        path = request.getfixturevalue("tmp_path") / "ledger.db"
        url = f"sqlite:///{path}"
        size = lambda: int(path.stat().st_size)  # noqa: E731
    with used_up(telemetry, model_server, ledger=url, ledger_timeout="5") as openai:
        before = size()
        for _ in range(500):
            refused(openai)
        assert size() == before
    assert len(model_server.requests) == 1
