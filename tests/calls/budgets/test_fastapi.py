"""FastAPI and starlette: blocks in dependencies and in the bodies of responses hold for the whole request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.trace import TracerProvider
from starlette.responses import StreamingResponse
from starlette.types import Message

from otel_agentcost import BudgetExceeded, attribute, run, tool_call
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import ask, ask_async, async_client, client


async def asynchronous() -> AsyncIterator[None]:
    with run("request", llm_calls=2), attribute(user="u1"):
        yield


def synchronous() -> Iterator[None]:
    """Starlette runs it in a thread."""
    with run("request", llm_calls=2), attribute(user="u1"):
        yield


def made(openai: OpenAI) -> bool:
    """One call: False if it is refused."""
    try:
        ask(openai)
    except BudgetExceeded:
        return False
    return True


async def made_async(openai: AsyncOpenAI) -> bool:
    try:
        await ask_async(openai)
    except BudgetExceeded:
        return False
    return True


def five() -> int:
    """Five calls: how many are made."""
    openai = client()
    return sum(made(openai) for _ in range(5))


async def five_async() -> int:
    openai = async_client()
    return sum([await made_async(openai) for _ in range(5)])


def streamed() -> Iterator[str]:
    """Starlette makes each item in another copy of the context."""
    with run("body", llm_calls=2), attribute(user="u1"):
        openai = client()
        for _ in range(5):
            yield "made " if made(openai) else "refused "


async def streamed_async() -> AsyncIterator[str]:
    with run("body", llm_calls=2), attribute(user="u1"):
        openai = async_client()
        for _ in range(5):
            yield "made " if await made_async(openai) else "refused "


def application(provider: TracerProvider | None) -> FastAPI:
    """FastAPI makes spans of its own if it gets a provider: they detach the context of a dependency."""
    app = FastAPI(telemetry={"tracer_provider": provider} if provider is not None else {"tracing": False})
    for kind, dependency in (("async", asynchronous), ("sync", synchronous)):
        app.get(f"/{kind}/async", dependencies=[Depends(dependency)])(five_async)
        app.get(f"/{kind}/sync", dependencies=[Depends(dependency)])(five)
    app.get("/after")(five)
    app.get("/body/async")(lambda: StreamingResponse(streamed_async()))
    app.get("/body/sync")(lambda: StreamingResponse(streamed()))
    return app


EVERY_TRACING = pytest.mark.parametrize("traced", [True, False], ids=["traced by FastAPI", "not traced"])


def users(telemetry: Telemetry) -> set[str]:
    return {str((span.attributes or {}).get("user.id")) for span in telemetry.spans if span.name.startswith("chat")}


@EVERY_TRACING
@pytest.mark.parametrize("endpoint", ["sync", "async"])
@pytest.mark.parametrize("dependency", ["sync", "async"])
def test_a_run_in_a_dependency_is_not_lost(dependency: str, endpoint: str, traced: bool, telemetry: Telemetry) -> None:
    """Two of five calls are made, all for the user, and the next request has neither."""
    with instrumented(telemetry), TestClient(application(telemetry.tracer_provider if traced else None)) as http:
        assert http.get(f"/{dependency}/{endpoint}").json() == 2
        assert users(telemetry) == {"u1"}
        telemetry.clear()
        assert http.get("/after").json() == 5
        assert users(telemetry) == {"None"}


@EVERY_TRACING
@pytest.mark.parametrize("body", ["sync", "async"])
def test_a_run_in_the_body_of_a_response_is_not_lost_between_two_items(
    body: str, traced: bool, telemetry: Telemetry
) -> None:
    """Two of five calls are made, all for the user, and the next request has neither."""
    with instrumented(telemetry), TestClient(application(telemetry.tracer_provider if traced else None)) as http:
        assert http.get(f"/body/{body}").text.split() == ["made"] * 2 + ["refused"] * 3
        assert users(telemetry) == {"u1"}
        telemetry.clear()
        assert http.get("/after").json() == 5
        assert users(telemetry) == {"None"}


async def requested(app: Any, path: str, disconnect_after: int) -> None:
    """One request by ASGI, whose client goes away after so many chunks."""
    chunks = 0
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal chunks
        chunks += message["type"] == "http.response.body"
        if chunks >= disconnect_after:
            gone.set()
            await asyncio.sleep(0.01)

    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.0"}, "method": "GET", "path": path}
    await app({**scope, "query_string": b"", "headers": [], "http_version": "1.1"}, receive, send)


@pytest.mark.parametrize("body", ["sync", "async"])
@pytest.mark.parametrize("block", ["attribute", "run", "tool_call"])
def test_a_client_that_goes_away_leaves_nothing_in_the_log(
    block: str, body: str, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """The body's generator is closed in another context than it was entered."""
    managers: dict[str, Any] = {
        "attribute": lambda: attribute(user="u1"),
        "run": lambda: run("body", user="u1"),
        "tool_call": lambda: tool_call("search"),
    }

    def items() -> Iterator[str]:
        with managers[block]():
            while True:
                yield "item"

    async def items_async() -> AsyncIterator[str]:
        with managers[block]():
            while True:
                yield "item"
                await asyncio.sleep(0)

    app = FastAPI()
    app.get("/body")(lambda: StreamingResponse(items() if body == "sync" else items_async()))

    async def main() -> None:
        await requested(app, "/body", 3)
        await ask_async()

    with instrumented(telemetry):
        asyncio.run(main())
    assert users(telemetry) == {"None"}
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("otel", "opentel"))] == []
