"""A provider of everything, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import otel_agentcost
from otel_agentcost.diagnostics import forget_causes
from tests.support.every_provider import answering_all
from tests.support.model_server import ModelServer


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Each cause of a warning is new, and no hook is left behind."""
    forget_causes()
    yield
    otel_agentcost.on_context(None)


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    """A provider of everything."""
    return answering_all(model_server)
