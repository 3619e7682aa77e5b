"""FastAPI and Starlette under uvicorn: each request has its own allowance, in threads and background tasks too."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, async_client, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

uvicorn: Any = pytest.importorskip("uvicorn", reason="uvicorn is not here: pip install 'otel-agentcost[test]'")

PATHS = ["sync", "async", "stream", "thread"]


def application(server: ModelServer, after: list[int]) -> FastAPI:
    """Answers with the number of calls that were made, of as many as the path asks for."""
    app = FastAPI()
    openai = client(server)
    asynchronous: Any = async_client(server)

    def calls(most: int) -> str:
        for made in range(most):
            try:
                ask(openai)
            except BudgetExceeded as error:  # noqa: PERF203 (it ends the loop)
                return f"{made} {error}"
        return str(most)

    async def calls_async(most: int) -> str:
        for made in range(most):
            try:
                await ask(asynchronous)
            except BudgetExceeded as error:  # noqa: PERF203 (it ends the loop)
                return f"{made} {error}"
        return str(most)

    @app.get("/sync/{most}")
    def sync(most: int) -> str:
        return calls(most)

    @app.get("/async/{most}")
    async def unblocked(most: int) -> str:
        return await calls_async(most)

    @app.get("/thread/{most}")
    def thread(most: int) -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(calls, most).result()

    @app.get("/stream/{most}")
    async def stream(most: int) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            yield f'"{await calls_async(most)}"'

        return StreamingResponse(body())

    @app.get("/later/{most}")
    def later(most: int, tasks: BackgroundTasks) -> str:
        tasks.add_task(lambda: after.append(int(calls(most).split()[0])))
        return calls(1)

    return app


@contextmanager
def serving(app: Any) -> Generator[str]:
    """Serves `app` with uvicorn in a thread, and gives its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server does not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def read(url: str) -> str:
    """The text of the answer."""
    with urlopen(url) as answer:
        return str(answer.read().decode().strip('"'))


def test_an_application_of_starlette_alone_is_served(telemetry: Telemetry) -> None:
    """Before it starts, uvicorn calls the application without arguments: unless that raises, it is a factory."""

    async def hello(_request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    with budgeted(telemetry), serving(Starlette(routes=[Route("/", hello)])) as url:
        assert read(url) == "hello"


@pytest.mark.parametrize("path", PATHS)
def test_a_request_is_never_refused_for_another(telemetry: Telemetry, model_server: ModelServer, path: str) -> None:
    """Thirty requests, and then one that calls without end, which is refused as it should be."""
    with budgeted(telemetry, trace_max_llm_calls=3), serving(application(answering(model_server), [])) as url:
        bodies = [read(f"{url}/{path}/1") for _ in range(30)]
        runaway = read(f"{url}/{path}/50")
        after = read(f"{url}/{path}/3")
    assert (set(bodies), after) == ({"1"}, "3")
    assert runaway.startswith("3 The budget ")
    assert "of web request" in runaway
    assert runaway.endswith(" The next web request has a new allowance.")


def test_background_tasks_count_in_their_request(telemetry: Telemetry, model_server: ModelServer) -> None:
    """They run after the response, and still spend what their request has left."""
    after: list[int] = []
    with budgeted(telemetry, trace_max_llm_calls=3), serving(application(answering(model_server), after)) as url:
        for _ in range(2):
            read(f"{url}/later/50")
    assert after == [2, 2]


def test_a_task_that_a_request_leaves_behind_is_not_in_it_for_ever(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """A worker that the first request starts has the allowance of the process once that request has ended."""
    asynchronous: Any = async_client(answering(model_server))
    found: list[str] = []

    async def work(ended: asyncio.Event) -> None:
        await ended.wait()
        try:
            for _ in range(10):
                await ask(asynchronous)
        except BudgetExceeded as error:
            found.append(str(error))

    async def main() -> None:
        app, ended = FastAPI(), asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        @app.get("/")
        async def start() -> str:
            tasks.append(asyncio.create_task(work(ended)))
            return "started"

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "root_path": ""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            assert message["type"].startswith("http.response")

        await app({**scope, "http_version": "1.1"}, receive, send)
        ended.set()
        await tasks[0]

    with budgeted(telemetry, trace_max_llm_calls=3):
        asyncio.run(main())
    (said,) = found
    assert "of this process (calls outside a span)" in said
