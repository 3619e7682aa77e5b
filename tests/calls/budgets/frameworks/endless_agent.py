"""A model that wants one more tool call for ever, a budget, and what must come of every framework's agents.

The local server answers the four kinds of calls that the frameworks make, whole or as a stream. Whatever has tools is
told to use the first of them, so that an agent stops only when something stops it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from otel_agentcost import BudgetExceeded
from otel_agentcost.calls import active
from otel_agentcost.guard.ledger import Standing
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply, sse_reply
from tests.support.replies import MESSAGE, PLAIN, chat, chat_chunks, message, message_events, response, response_events

T = TypeVar("T")

LIMIT = "0.02"
"""Dollars: some two dozen calls of gpt-4o, or of claude-sonnet-4-5."""

ATTEMPTS = 20
"""How often the frameworks are told to try."""

RESPONSE = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}


# --- What the server answers ---


def answer(request: Request) -> Reply:
    """A call of the first tool that the request offers; words where it offers none."""
    asked = request.json
    streamed = bool(asked.get("stream"))
    tool = _first_tool(asked)
    if request.path.endswith("/messages"):
        return _message(tool, streamed=streamed)
    if request.path.endswith("/responses"):
        return _response(tool, streamed=streamed)
    return _chat(asked["model"], tool, streamed=streamed)


_ids = itertools.count(1)


def _new_id() -> str:
    # The same again, and some frameworks take the tool's call for one that has been made.
    return f"call_{next(_ids)}"


def _first_tool(asked: Any) -> str | None:
    for tool in asked.get("tools") or ():
        return str(tool.get("name") or tool["function"]["name"])
    return None


def _chat(model: str, tool: str | None, *, streamed: bool) -> Reply:
    if streamed:
        chunks: list[dict[str, Any]] = chat_chunks(PLAIN, model=model)
        if tool is not None:
            call = {"index": 0, "id": _new_id(), "type": "function", "function": {"name": tool, "arguments": "{}"}}
            chunks[1]["choices"][0]["delta"] = {"tool_calls": [call]}
            chunks[-2]["choices"][0]["finish_reason"] = "tool_calls"
        return sse_reply(chunks, done=True)
    body = chat(model=model)
    if tool is not None:
        call = {"id": _new_id(), "type": "function", "function": {"name": tool, "arguments": "{}"}}
        body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
        body["choices"][0]["finish_reason"] = "tool_calls"
    return json_reply(body)


def _response(tool: str | None, *, streamed: bool) -> Reply:
    body = response(RESPONSE, model="gpt-4o")
    events = response_events(RESPONSE)
    events[-1]["response"] = body
    if tool is not None:
        call = {"type": "function_call", "id": "fc_1", "call_id": _new_id(), "name": tool, "arguments": "{}"}
        call["status"] = "completed"
        body["output"] = [call]
        where = {"output_index": 0, "item_id": "fc_1", "sequence_number": 1}
        events = [
            events[0],
            {"type": "response.output_item.added", **where, "item": {**call, "arguments": ""}},
            {"type": "response.function_call_arguments.done", **where, "name": tool, "arguments": "{}"},
            {"type": "response.output_item.done", **where, "item": call},
            {"type": "response.completed", "response": body, "sequence_number": 2},
        ]
    return sse_reply(events, named=True) if streamed else json_reply(body)


def _message(tool: str | None, *, streamed: bool) -> Reply:
    use: dict[str, Any] = {"type": "tool_use", "id": _new_id(), "name": tool, "input": {}}
    if not streamed:
        body = message(MESSAGE)
        return json_reply(body if tool is None else {**body, "content": [use], "stop_reason": "tool_use"})
    events = message_events(MESSAGE)
    if tool is not None:
        events[1]["content_block"] = use
        events[2:-3] = []
        events[-2]["delta"]["stop_reason"] = "tool_use"
    return sse_reply(events, named=True)


# --- What must come of it ---


class Budgeted:
    """A server whose calls fall under a budget of `LIMIT` dollars in all, and one event loop for what is awaited."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.url = server.url + "/v1"
        """For clients of OpenAI; those of Anthropic take the server's own."""
        self._loop = asyncio.new_event_loop()
        self._clients: list[AsyncOpenAI | AsyncAnthropic] = []

    def openai(self) -> AsyncOpenAI:
        """A client that tries often, and is closed when the test is over."""
        client = AsyncOpenAI(base_url=self.url, api_key="none", max_retries=ATTEMPTS)
        self._clients.append(client)
        return client

    def anthropic(self) -> AsyncAnthropic:
        """The same for Anthropic's SDK."""
        client = AsyncAnthropic(base_url=self.server.url, api_key="none", max_retries=ATTEMPTS)
        self._clients.append(client)
        return client

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Awaits `what`."""
        return self._loop.run_until_complete(what)

    def close(self) -> None:
        """Closes the clients, and the event loop."""
        for client in self._clients:
            self.run(client.close())
        self.run(self._loop.shutdown_asyncgens())
        self._loop.close()

    def books(self) -> tuple[int, Standing]:
        """How many requests have come in, and how the budget stands."""
        return len(self.server.requests), standing()

    def use_up(self, call: Callable[[], object]) -> None:
        """Calls, also after a refusal (a shorter history may still fit), until a refusal comes before any request."""
        for _ in range(200):
            before = len(self.server.requests)
            try:
                call()
            except Exception as error:
                refusal_in(error)
                if len(self.server.requests) == before:
                    break
        else:
            raise AssertionError("two hundred times, and it is still not refused")
        requests, stands = self.books()
        assert requests > 1
        assert stands.held["nano_usd"] == 0
        assert stands.spent["calls"] == requests
        assert 0.7 < stands.spent["nano_usd"] / (float(LIMIT) * 1e9) <= 1

    def stays_refused(self, call: Callable[[], object]) -> None:
        """Calls once more, with the budget used up: a refusal, no request, and the ledger as it was."""
        before = self.books()
        with pytest.raises(Exception) as caught:
            call()
        refusal_in(caught.value)
        assert self.books() == before


@contextmanager
def spending(telemetry: Telemetry, server: ModelServer) -> Generator[Budgeted]:
    """Everything falls under one budget, for a block."""
    server.responder = answer
    with budgeted(telemetry, budgets=f"total:usd={LIMIT}"):
        made = Budgeted(server)
        try:
            yield made
        finally:
            made.close()


def standing(key: str = "total/all/") -> Standing:
    """What the ledger says of a budget."""
    runtime = active.active()
    assert runtime is not None
    gate = runtime.gates.gate
    assert gate is not None
    return gate.guard.ledger.wrapped.standing(key, now=time.time())


def refusal_in(error: BaseException) -> BudgetExceeded:
    """The refusal that `error` is, or was raised from, or has in its group."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if isinstance(each, BudgetExceeded):
            return each
        if id(each) not in seen:
            seen.add(id(each))
            todo += [other for other in (each.__cause__, each.__context__) if other is not None]
            todo += getattr(each, "exceptions", ())
    raise AssertionError(f"no refusal is in {error!r}") from error
