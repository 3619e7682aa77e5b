"""Ledgers and seeds for these tests, and what they came to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from otel_agentcost.guard.ledger import sqlite
from tests.overspend import load
from tests.support.redis_server import Server


@pytest.fixture(params=load.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of ledger."""
    return str(request.param)


@pytest.fixture(params=load.SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    """What chance begins with."""
    return int(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty ledger."""
    monkeypatch.setattr(sqlite, "PATIENCE", load.PATIENCE)
    server: Callable[[], Server] = lambda: request.getfixturevalue("redis_server")  # noqa: E731
    return load.fresh_url(kind, tmp_path, server)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many calls were tried on how many budgets, and the most by which one was overspent."""
    if load.ALL:
        terminalreporter.section("overspend")
        for line in load.summary():
            terminalreporter.write_line(line)
