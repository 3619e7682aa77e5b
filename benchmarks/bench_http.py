"""What a request costs that is no model call: `python -m benchmarks.bench_http [--quick]`.

CPU that the patched method adds to the client's own, which is replaced by one that does nothing, and its ratio to what
the client takes for a request without a network. Of many short blocks, the quickest counts: a busy machine only adds.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx2
import requests
import urllib3
from requests.adapters import HTTPAdapter

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations import http
from otel_agentcost.integrations.http import Addresses, Net
from otel_agentcost.integrations.http._base import Method

URL = "https://hooks.example.com/events"
BODY = b'{"event": "x"}'


class Nothing:
    """Has the methods of the clients, which do nothing."""

    host = "hooks.example.com"

    def answer(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing."""

    async def answer_async(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing."""


class Adapter(HTTPAdapter):
    """Answers at once."""

    def send(self, request: Any, *_args: Any, **_kwargs: Any) -> requests.Response:
        raw = urllib3.HTTPResponse(io.BytesIO(b"{}"), status=200, preload_content=False)
        return self.build_response(request, raw)


def least(work: Callable[[], Any], *, blocks: int, calls: int) -> float:
    """Microseconds of one call, in the quickest of many blocks."""
    taken: list[float] = []
    for _ in range(blocks):
        started = time.process_time_ns()
        for _ in range(calls):
            work()
        taken.append((time.process_time_ns() - started) / calls / 1000)
    return min(taken)


def run(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return


def own_work() -> dict[str, Callable[[], Any]]:
    """One request by each client, without a network."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"{}"))
    client, async_client = httpx2.Client(transport=transport), httpx2.AsyncClient(transport=transport)
    session, loop = requests.Session(), asyncio.new_event_loop()
    session.mount("https://", Adapter())
    return {
        "httpx2": lambda: client.post(URL, content=BODY),
        "httpx2, async": lambda: loop.run_until_complete(async_client.post(URL, content=BODY)),
        "requests": lambda: session.post(URL, data=BODY),
    }


def added(name: str, arguments: tuple[Any, ...], *, blocks: int) -> float:
    """Microseconds that the patch of a client's method adds."""
    client, asynchronous = name.partition(",")[0], name.endswith("async")
    sending = next(each for each in http.discover() if each.name == client).sends[1 if asynchronous else 0]
    pipeline = Pipeline.__new__(Pipeline)  # never used: no request here is a model call
    net, nothing = Net(pipeline, Addresses(())), Nothing()
    own: Method = Nothing.answer_async if asynchronous else Nothing.answer
    patched = sending.patched(own, net)
    if asynchronous:
        return least(lambda: run(patched(nothing, *arguments)), blocks=blocks, calls=1000) - least(
            lambda: run(own(nothing, *arguments)), blocks=blocks, calls=1000
        )
    return least(lambda: patched(nothing, *arguments), blocks=blocks, calls=1000) - least(
        lambda: own(nothing, *arguments), blocks=blocks, calls=1000
    )


def table(*, quick: bool) -> None:
    """Microseconds of a request: the client's own, what we add, and the ratio."""
    blocks = 50 if quick else 200
    request = httpx2.Request("POST", URL, content=BODY)
    arguments = {"httpx2": (request,), "httpx2, async": (request,), "requests": ("POST", URL)}
    print("| request that is no model call | client µs | we add µs | ratio |")
    print("|---|---|---|---|")
    for name, work in own_work().items():
        own, ours = least(work, blocks=blocks, calls=20), added(name, arguments[name], blocks=blocks)
        print(f"| {name} | {own:.0f} | {ours:.2f} | {ours / own:.4f} |")


if __name__ == "__main__":
    table(quick="--quick" in sys.argv)
