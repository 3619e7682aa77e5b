"""SDKs of the Stainless family: each is a few lines here, and priced, limited and left as it is like openai."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


class Family(NamedTuple):
    """One SDK: its package, its client, and the provider's name and price of a model."""

    package: str
    client: str
    provider: str
    model: str
    usd: float | None
    method: str = "chat.completions.create"


SDKS = [
    Family("groq", "Groq", "groq", "llama-3.3-70b-versatile", (1000 * 0.59 + 200 * 0.79) / 1e6),
    Family("together", "Together", "together", "MiniMaxAI/MiniMax-M3", None),
    Family("cerebras.cloud.sdk", "Cerebras", "cerebras", "gpt-oss-120b", (1000 * 0.35 + 200 * 0.75) / 1e6),
    Family("writerai", "Writer", "writer", "palmyra-x5", None, "chat.chat"),
]
CASES = [
    pytest.param(
        one,
        id=one.package,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(one.package.partition(".")[0]) is None,
            reason=f"{one.package} is not installed: pip install 'otel-agentcost[coexist]'",
        ),
    )
    for one in SDKS
]


def client(one: Family, server: ModelServer, *, asynchronous: bool = False) -> Any:
    kind = getattr(importlib.import_module(one.package), ("Async" if asynchronous else "") + one.client)
    more = {"warm_tcp_connection": False} if one.client == "Cerebras" else {}
    return kind(api_key="none", base_url=server.url, max_retries=0, **more)


def method(one: Family, of: Any) -> Any:
    for name in one.method.split("."):
        of = getattr(of, name)
    return of


def ask(one: Family) -> dict[str, Any]:
    return {"model": one.model, "messages": [{"role": "user", "content": "How are you today?"}]}


def whole(one: Family) -> Any:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": one.model}
    return {**head, "choices": [choice], "usage": USAGE}


def events(one: Family) -> list[Any]:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": one.model}
    delta = {"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [*[{**head, "choices": [delta]}] * 3, {**head, "choices": [last], "usage": USAGE}]


def judge(one: Family, telemetry: Telemetry) -> None:
    """The only span has the tokens, and the dollars where the book has a price."""
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 200)
    assert said[semconv.PROVIDER] == one.provider
    if one.usd is not None:
        assert said[semconv.COST] == pytest.approx(one.usd)
    telemetry.clear()


@pytest.mark.parametrize("one", CASES)
def test_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer, one: Family) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(whole(one)), sse_reply(events(one), done=True))
    with client(one, model_server) as made, budgeted(telemetry):
        method(one, made)(**ask(one))
        judge(one, telemetry)
        assert list(method(one, made)(**ask(one), stream=True))
        judge(one, telemetry)


@pytest.mark.parametrize("one", CASES)
async def test_asynchronous_calls_are_not_missed(telemetry: Telemetry, model_server: ModelServer, one: Family) -> None:
    """Whole, and streamed."""
    model_server.replies(json_reply(whole(one)), sse_reply(events(one), done=True))
    async with client(one, model_server, asynchronous=True) as made:
        with budgeted(telemetry):
            await method(one, made)(**ask(one))
            judge(one, telemetry)
            assert [event async for event in await method(one, made)(**ask(one), stream=True)]
            judge(one, telemetry)


@pytest.mark.parametrize("one", CASES)
def test_no_budget_is_overspent(telemetry: Telemetry, model_server: ModelServer, one: Family) -> None:
    """A call that does not fit is not sent."""
    refused = pytest.raises(BudgetExceeded)
    with client(one, model_server) as made, budgeted(telemetry, budgets="total:tokens=500"), refused:
        method(one, made)(**ask(one), max_tokens=1000)
    assert model_server.requests == []
