"""Short words for tests of budgets on real calls: an instrumented block, and calls until one is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from openai import AsyncOpenAI, OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings, runtime
from otel_agentcost.runtime import Clock
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import PLAIN_USD, chat

USD = PLAIN_USD
"""What each call costs: 100 tokens in, 50 out."""

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}


def answering(server: ModelServer, reply: Callable[[Request], Reply] | None = None) -> ModelServer:
    """Has `server` answer every call, without end."""
    server.responder = reply or (lambda request: json_reply(chat(model=request.json["model"])))
    return server


class Later:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.clock = Clock(lambda: time.time() + self._ahead, lambda: time.monotonic() + self._ahead)

    def pass_(self, seconds: float) -> None:
        """So many seconds pass."""
        self._ahead += seconds


@contextmanager
def budgeted(telemetry: Telemetry, clock: Clock | None = None, /, **settings: Any) -> Generator[None]:
    """Instruments with these settings, for a block."""
    runtime.start(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        settings=Settings(**settings),
        clock=clock or Clock(),
    )
    try:
        yield
    finally:
        otel_agentcost.uninstrument()


def client(server: ModelServer) -> OpenAI:
    """An SDK client that retries as it does by default."""
    return OpenAI(base_url=server.url + "/v1", api_key="none")


def async_client(server: ModelServer) -> AsyncOpenAI:
    """`client`, asynchronous."""
    return AsyncOpenAI(base_url=server.url + "/v1", api_key="none")


def ask(made: OpenAI, **more: Any) -> Any:
    """One call."""
    return made.chat.completions.create(**{**ASK, **more})


def until_refused(call: Callable[[], object], most: int = 100) -> tuple[int, BudgetExceeded]:
    """Calls until the first refusal: how many were made, and what was raised."""
    for made in range(most):
        try:
            call()
        except BudgetExceeded as error:  # noqa: PERF203 (that it is raised, is what is waited for)
            return made, error
    raise AssertionError(f"{most} calls were made, and none was refused")
