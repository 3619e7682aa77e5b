"""Fixtures for all tests: a clean environment, telemetry in memory, a local model provider."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.redis_server import Server, binary

# Before any test module imports it: its assertions are to be explained when they fail.
pytest.register_assert_rewrite("tests.support.call_shapes")

# A busy machine is no failure: neither a slow example nor slowly drawn data is.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# What SDKs, exporters and HTTP clients read: a developer's own keys and endpoints must neither leak into a test
# nor decide it.
FOREIGN_PREFIXES = ("OTEL_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "AZURE_", "AWS_", "VERTEX")
FOREIGN_SUFFIXES = ("_API_KEY", "_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes settings, keys and proxies out of the environment."""
    for name in os.environ:
        if name.upper().startswith(FOREIGN_PREFIXES) or name.upper().endswith(FOREIGN_SUFFIXES):
            monkeypatch.delenv(name)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """A fresh tracer and meter provider that keep everything in memory; not the global ones."""
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A local model provider that replays what it is given."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The server's program; the tests that need it are skipped, with the reason, where there is none."""
    found = binary()
    if found is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    return found


@pytest.fixture(scope="session")
def redis_server(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each empties it."""
    server = Server(redis_binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()
