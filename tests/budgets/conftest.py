"""The Redis server of these tests, which is the one of the ledgers' tests, and the figures of the storms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from otel_agentcost.guard.ledger import sqlite
from tests.budgets import storm
from tests.ledger.conftest import redis_binary, redis_server
from tests.ledger.servers import Server

__all__ = ["kind", "pytest_terminal_summary", "redis_binary", "redis_server", "seed", "url"]


@pytest.fixture(params=storm.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of ledger."""
    return str(request.param)


@pytest.fixture(params=storm.SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    """What chance begins with."""
    return int(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty ledger."""
    monkeypatch.setattr(sqlite, "PATIENCE", storm.PATIENCE)
    server: Callable[[], Server] = lambda: request.getfixturevalue("redis_server")  # noqa: E731
    return storm.fresh_url(kind, tmp_path, server)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many calls were tried on how many budgets, and the most by which one was overspent."""
    if storm.ALL:
        terminalreporter.section("overspend")
        for line in storm.summary():
            terminalreporter.write_line(line)
