"""Storms through a real SDK: real requests to a provider that answers, fails, breaks off and is slow at random.

What is right after such a storm:
- A call whose answer came whole costs what the provider says in it: tokens times list price, in whole billionths.
- A call that the provider refused (429, 400, 500) costs nothing, and a retry of the SDK's is the same call.
- A stream that was broken off, or that tells no usage, costs what is counted from its text: `agentcost.cost.usd` of
  its span, which is never more than was held.
- Of a call that got no answer (a time-out, a lost connection, a cancelled task) nobody here knows whether it is
  billed: its span says that it has no price, and the ledger counts a call and no dollars.
So each span is held against the provider's own record where that is possible, and the ledger against all spans.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import money
from otel_agentcost.guard.ledger import Unit
from otel_agentcost.wire.tokenizers import count_text
from tests.overspend import load
from tests.overspend.load import Limits, dice
from tests.support.model_server import Reply, Request, json_reply, sse_reply
from tests.support.replies import MINI, chat, chat_chunks

INPUT, CACHED, OUTPUT = 150, 75, 600
"""gpt-4o-mini at list prices, in billionths of a dollar a token."""

MOST_TOKENS = 300
AVERAGE = 75_000
"""Billionths of a dollar that an answered call comes to, about."""

IN_A_RUN = 5
RUN_USD = Decimal(IN_A_RUN * AVERAGE) / 1_000_000_000


def rules(calls: int) -> str:
    """Budgets of which each is too small for its part of `calls` calls, if all were admitted."""
    usd = calls * AVERAGE / 1e9
    return ";".join(
        (
            f"total:usd={max(usd * 0.5, 0.002):.6f}",
            f"user:usd={max(usd / 4 * 0.6, 0.001):.6f},calls={calls}",
            f"model=gpt-4o-mini:tokens={calls * 400},calls={max(40, calls * 5 // 6)}",
        )
    )


def limits_of(rules: str) -> Limits:
    """The limits of `rules`, and of the runs."""
    run: dict[Unit, int] = {"nano_usd": money.to_nano(RUN_USD)}
    return {**load.limits_of(rules), "run": run}


# --- The provider -----------------------------------------------------------------------------------------------------


class Provider:
    """A responder of the model server. What it does depends on the call and the attempt alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.billed: dict[str, int] = {}
        """What it would bill for each response that it has begun to send, by its id."""
        self.seen: list[tuple[str, int]] = []
        """Every request: which call, and how often it was tried before."""

    def __call__(self, request: Request) -> Reply:
        body = request.json
        name, *words = body["messages"][0]["content"].split()
        attempt = int(request.headers.get("x-stainless-retry-count", 0))
        self.seen.append((name, attempt))
        draw = dice("provider", self._seed, name, attempt)
        chance = draw.random()
        if chance < 0.09:
            status = draw.choice((429, 500, 503))
            return json_reply({"error": {"message": "not now"}}, status=status, headers={"retry-after-ms": "2"})
        if chance < 0.11:
            return json_reply({"error": {"message": "not so"}}, status=400)
        usage = self._usage(draw, body)
        named = f"{name}/{attempt}"
        self.billed[named] = bill(usage)
        if body.get("stream"):
            return self._stream(draw, body, usage, named)
        reply = json_reply({**chat(usage, model=MINI), "id": named})
        if "slow" in words and draw.random() < 0.7:
            return Reply(chunks=[0.3, reply.body])
        return Reply(body=reply.body, drop=chance < 0.13)

    def _usage(self, draw: random.Random, body: Any) -> dict[str, Any]:
        """No more input than a tokenizer counts in the prompt, and no more output than the request allows of.

        Up to a token a byte would be possible too, but no provider makes 200 tokens of 200 letters alike, and where the
        bound by bytes does not fit, calls are admitted by what a tokenizer counts, with a margin.
        """
        counted = count_text(body["messages"][0]["content"], MINI)
        prompt = draw.randint(
            1 + counted // 2, 8 + counted
        )  # far fewer would not be believed, nor would an output of 0
        limit = body["max_tokens"] * body.get("n", 1)
        completion = limit if draw.random() < 0.2 else draw.randint(1, limit)
        cached = draw.choice((0, 0, draw.randint(0, prompt)))
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def _stream(self, draw: random.Random, body: Any, usage: dict[str, Any], named: str) -> Reply:
        told = usage if (body.get("stream_options") or {}).get("include_usage") else None
        words = [" a"] * min(12, usage["completion_tokens"])
        chunks = [{**chunk, "id": named} for chunk in chat_chunks(told, model=MINI, words=words)]
        drop = draw.random() < 0.1
        sent = chunks[: draw.randrange(len(chunks))] if drop else chunks
        return sse_reply(sent, done=not drop, drop=drop)


def bill(usage: dict[str, Any]) -> int:
    """Billionths of a dollar."""
    cached: int = usage["prompt_tokens_details"]["cached_tokens"]
    fresh: int = usage["prompt_tokens"] - cached
    output: int = usage["completion_tokens"]
    return fresh * INPUT + cached * CACHED + output * OUTPUT


class InProcess(httpx2.AsyncBaseTransport):
    """Leads the SDK's requests to a provider in this process, without sockets: a thousand tasks at once would wait for
    a thousand threads of the local server, twenty times over. Above it all is real; the threads' storm has sockets.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(method=request.method, path=request.url.path, headers=headers, body=await request.aread())
        reply = self._provider(asked)
        draw = dice("transport", len(self._provider.seen))
        await asyncio.sleep(draw.random() * 0.02)
        if draw.random() < 0.01:
            raise httpx2.ReadTimeout("nobody answers", request=request)
        sent = _Sent(reply)
        return httpx2.Response(
            reply.status, headers={"content-type": reply.content_type, **reply.headers}, stream=sent, request=request
        )


class _Sent(httpx2.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._reply.chunks if self._reply.chunks is not None else [self._reply.body]
        for chunk in chunks:
            if isinstance(chunk, bytes):
                await asyncio.sleep(0)
                yield chunk
            else:
                await asyncio.sleep(chunk)
        if self._reply.drop:
            raise httpx2.ReadError("the connection is lost")


# --- The application --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a call ended for the application."""

    name: str
    user: str
    how: str
    """`whole`, `partly` (a stream not read to its end, or without usage), `refused`, `failed`, `cancelled`."""
    response_id: str | None = None


@dataclass(kw_only=True)
class Plan:
    """One call, and what the application will do with its answer."""

    name: str
    user: str
    request: dict[str, Any]
    stream: bool
    reads: int | None
    """So many chunks of a stream, and then no more; None: all."""
    drops: bool
    """Whether it forgets a stream that it does not read on, or closes it."""
    usage: bool


def plan(draw: random.Random, name: str) -> Plan:
    """A call with bounded output."""
    slow = draw.random() < 0.03
    padding = "x" * draw.randint(0, 200)
    stream = not slow and draw.random() < 0.4
    request: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": f"{name} {'slow' if slow else 'soon'} {padding}"}],
        "max_tokens": draw.randint(1, MOST_TOKENS),
        "timeout": 0.15 if slow else 30,
    }
    usage = stream and draw.random() < 0.75
    if usage:
        request["stream_options"] = {"include_usage": True}
    if not stream and draw.random() < 0.1:
        request["n"] = 2
    reads = draw.randrange(6) if draw.random() < 0.3 else None
    user = f"u{draw.randrange(4)}"
    return Plan(
        name=name, user=user, request=request, stream=stream, reads=reads, drops=draw.random() < 0.5, usage=usage
    )


def call(client: OpenAI, made: Plan) -> Ended:
    """Makes one call, synchronously."""
    ended = {"name": made.name, "user": made.user}
    with otel_agentcost.attribute(user=made.user, conversation=made.name):
        try:
            if not made.stream:
                return Ended(**ended, how="whole", response_id=client.chat.completions.create(**made.request).id)
            stream = client.chat.completions.create(**made.request, stream=True)
            found: str | None = None
            for number, chunk in enumerate(stream):
                found = chunk.id if chunk.usage is not None else found
                if number == made.reads:
                    break
            if not made.drops:
                stream.close()
        except BudgetExceeded:
            return Ended(**ended, how="refused")
        except (openai.APIError, httpx2.HTTPError):
            return Ended(**ended, how="failed")
    return Ended(**ended, how="whole" if found else "partly", response_id=found)


async def call_async(client: AsyncOpenAI, made: Plan) -> Ended:
    """`call`, asynchronously."""
    ended = {"name": made.name, "user": made.user}
    with otel_agentcost.attribute(user=made.user, conversation=made.name):
        try:
            if not made.stream:
                answer = await client.chat.completions.create(**made.request)
                return Ended(**ended, how="whole", response_id=answer.id)
            stream = await client.chat.completions.create(**made.request, stream=True)
            found: str | None = None
            number = 0
            async for chunk in stream:
                found = chunk.id if chunk.usage is not None else found
                if number == made.reads:
                    break
                number += 1
            if not made.drops:
                await stream.close()
        except BudgetExceeded:
            return Ended(**ended, how="refused")
        except (openai.APIError, httpx2.HTTPError):
            return Ended(**ended, how="failed")
    return Ended(**ended, how="whole" if found else "partly", response_id=found)


class App:
    """An application that makes a storm's calls, in runs of five with an allowance of their own each."""

    def __init__(self, seed: int, name: str) -> None:
        self.seed = seed
        self.name = name
        self.ended: list[Ended] = []
        self.runs: dict[str, str] = {}
        """The value of each run, by the beginning of its calls' names."""

    def threads(self, url: str, number: int) -> None:
        """So many threads, each with a run."""
        with OpenAI(base_url=url + "/v1", api_key="none") as client, ThreadPoolExecutor(number) as pool:
            for done in [pool.submit(self._thread, client, f"{self.name}-{thread}") for thread in range(number)]:
                done.result()

    async def tasks(self, provider: Provider, number: int) -> None:
        """So many tasks, in runs of five; one in eight of them is cancelled somewhere."""
        http = httpx2.AsyncClient(transport=InProcess(provider))
        async with AsyncOpenAI(base_url="http://in-process/v1", api_key="none", http_client=http) as client:
            groups = [self._group(client, f"{self.name}-{group}") for group in range(number // IN_A_RUN)]
            await asyncio.gather(*groups)
            gc.collect()
            await asyncio.get_running_loop().shutdown_asyncgens()

    def _thread(self, client: OpenAI, name: str) -> None:
        draw = dice("app", self.seed, name)
        with otel_agentcost.run("storm", usd=RUN_USD) as run:
            self.runs[name] = run.value
            ended = [call(client, plan(draw, f"{name}-{number}")) for number in range(IN_A_RUN)]
        self.ended += ended
        if run.cost_usd is None:  # no answer came to any call that was sent
            assert {each.how for each in ended} <= {"failed", "refused"}
            assert run.unpriced_calls
        else:
            assert run.cost_usd <= RUN_USD

    async def _group(self, client: AsyncOpenAI, name: str) -> None:
        draw = dice("app", self.seed, name)
        loop = asyncio.get_running_loop()
        with otel_agentcost.run("storm", usd=RUN_USD) as run:
            self.runs[name] = run.value
            plans = [plan(draw, f"{name}-{number}") for number in range(IN_A_RUN)]
            tasks = [asyncio.create_task(call_async(client, made)) for made in plans]
            for task in tasks:
                if draw.random() < 0.125:
                    loop.call_later(draw.random(), task.cancel)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for made, outcome in zip(plans, outcomes, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                self.ended.append(Ended(name=made.name, user=made.user, how="cancelled"))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self.ended.append(outcome)
