"""What a ledger asks its own store is no work of the application's: it leaves no spans."""

from __future__ import annotations

import pytest

from tests.conftest import redis_binary, redis_server
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.redis_server import Server

__all__ = ["redis_binary", "redis_server"]


def test_the_ledgers_own_commands_are_no_spans(
    telemetry: Telemetry, model_server: ModelServer, redis_server: Server
) -> None:
    """Where the application has redis-py instrumented, only its own commands are spans."""
    instrumentation = pytest.importorskip(
        "opentelemetry.instrumentation.redis", reason="opentelemetry-instrumentation-redis is not installed"
    )
    redis_server.empty()
    instrumentor = instrumentation.RedisInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.tracer_provider)
    settings = {"budgets": "total:calls=9", "ledger": redis_server.url, "ledger_timeout": "5"}
    try:
        with client(answering(model_server)) as openai, budgeted(telemetry, **settings):
            for _ in range(2):
                ask(openai)
            redis_server.client.ping()
    finally:
        instrumentor.uninstrument()
    assert sorted({span.name for span in telemetry.spans}) == ["PING", "chat gpt-4o-mini"]
