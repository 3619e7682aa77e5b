"""Fixtures of all sockets' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from otel_agentcost.settings import Settings
from tests.integrations.sockets import realtime as rt
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.socket_server import Script, SocketServer


@pytest.fixture
def start(telemetry: Telemetry) -> Iterator[Callable[..., SocketServer]]:
    """Instruments with the settings that it is given, and starts a server of OpenAI realtime."""
    with ExitStack() as stack:

        def begin(script: Script, *, session: dict[str, Any] | None = None, **settings: Any) -> SocketServer:
            stack.enter_context(instrumented(telemetry, settings=Settings(**settings)))
            return stack.enter_context(SocketServer(script, [session or rt.session()]))

        yield begin
