"""The scene of the tests of message content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk._logs import LoggerProvider

from tests.calls.content.question import Events, Scene
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@pytest.fixture
def scene(telemetry: Telemetry, model_server: ModelServer) -> Iterator[Scene]:
    events = Events()
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(events)
    scene = Scene(model_server, telemetry, events, logs)
    yield scene
    for client in scene.clients:
        client.close()
    logs.shutdown()
