"""Tenacity round the SDKs' own clients: whatever it tries again, and however it ends, nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI

from otel_agentcost import BudgetExceeded
from tests.calls.budgets.frameworks.endless_agent import ATTEMPTS, Budgeted, spending
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

tenacity: Any = pytest.importorskip("tenacity", reason="tenacity is not installed: `make neighbours` installs it")

ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
MESSAGE: Any = {**ASK, "model": "claude-sonnet-4-6"}


@pytest.fixture
def scene(telemetry: Telemetry, model_server: ModelServer) -> Iterator[Budgeted]:
    """A budget over everything."""
    with spending(telemetry, model_server) as made:
        yield made


def chat(scene: Budgeted) -> Callable[[], object]:
    """A call of OpenAI's chat completions."""
    client = OpenAI(base_url=scene.url, api_key="none", max_retries=ATTEMPTS)
    return lambda: client.chat.completions.create(**ASK)


def stream(scene: Budgeted) -> Callable[[], object]:
    """The same as a stream, read out."""
    client = OpenAI(base_url=scene.url, api_key="none", max_retries=ATTEMPTS)
    return lambda: list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))


def message(scene: Budgeted) -> Callable[[], object]:
    """A call of Anthropic's messages."""
    client = Anthropic(base_url=scene.server.url, api_key="none", max_retries=ATTEMPTS)
    return lambda: client.messages.create(**MESSAGE)


@pytest.mark.parametrize("sdk", [chat, stream, message])
def test_fifty_attempts(scene: Budgeted, sdk: Callable[[Budgeted], Callable[[], object]]) -> None:
    """Fifty attempts end in tenacity's own exception, raised from the refusal; or, with `reraise`, in the refusal."""
    fifty = {"stop": tenacity.stop_after_attempt(50)}
    call = tenacity.retry(**fifty)(sdk(scene))
    scene.use_up(call)
    with pytest.raises(tenacity.RetryError) as caught:
        call()
    assert isinstance(caught.value.__cause__, BudgetExceeded)
    scene.stays_refused(call)
    with pytest.raises(BudgetExceeded):
        tenacity.retry(**fifty, reraise=True)(sdk(scene))()


def test_fifty_asynchronous_attempts(scene: Budgeted) -> None:
    """The same for awaited calls."""
    scene.use_up(chat(scene))

    @tenacity.retry(stop=tenacity.stop_after_attempt(50))  # type: ignore[untyped-decorator]
    async def call(client: AsyncOpenAI) -> None:
        await client.chat.completions.create(**ASK)

    scene.stays_refused(lambda: scene.run(call(scene.openai())))


def test_rate_limits_alone_are_tried_again(scene: Budgeted) -> None:
    """Who tries again what the SDK calls a rate limit, or any error of the SDK's, meets the refusal at once."""
    import openai

    attempts: list[str] = []
    scene.use_up(chat(scene))

    @tenacity.retry(retry=tenacity.retry_if_exception_type(openai.OpenAIError))  # type: ignore[untyped-decorator]
    def call() -> None:
        attempts.append("once")
        chat(scene)()

    with pytest.raises(BudgetExceeded):
        call()
    assert attempts == ["once"]
