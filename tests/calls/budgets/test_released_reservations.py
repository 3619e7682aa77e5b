"""A complaint about other tools: holds that leak, until calls are refused with next to nothing spent.

However a call ends, what it held is given back at once: each ending is played until its holds, were they kept, would
fill the budget three times, and then a call that takes nearly all of the budget is admitted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Generator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from otel_agentcost import BudgetExceeded
from otel_agentcost.calls import pricing
from otel_agentcost.calls.admission import Admission
from otel_agentcost.telemetry import spans
from otel_agentcost.telemetry.budget_events import BudgetReports
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.wire.openai_chat import Chat
from tests.calls.budgets.frameworks.endless_agent import standing
from tests.support.budgeted_calls import ASK, answering, ask, async_client, budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply, sse_reply
from tests.support.replies import PLAIN, PLAIN_USD, chat, chat_chunks, chat_reply, chat_stream

BUDGET = "total:usd=0.01"
PIECE: dict[str, Any] = {**ASK, "max_tokens": 4000}
"""A call that holds a quarter of the budget."""
MOST_OF_IT = {**ASK, "max_tokens": 15_000}
TIMES = 12

Ending = Callable[[ModelServer, OpenAI], object]


def _slow(_request: Request) -> Reply:
    time.sleep(0.2)
    return chat_reply()


def _status(status: int) -> Ending:
    def play(server: ModelServer, sdk: OpenAI) -> None:
        server.replies(json_reply({"error": {"message": "no"}}, status=status))
        with pytest.raises(openai.APIStatusError):
            sdk.chat.completions.create(**PIECE)

    return play


def _answer(reply: Reply) -> Ending:
    def play(server: ModelServer, sdk: OpenAI) -> None:
        server.replies(reply)
        with contextlib.suppress(openai.OpenAIError, ValueError):
            sdk.chat.completions.create(**PIECE)

    return play


def _time_out(server: ModelServer, sdk: OpenAI) -> None:
    server.responder = _slow
    with pytest.raises(openai.APITimeoutError):
        sdk.with_options(timeout=0.02).chat.completions.create(**PIECE)


def _nobody_there(_server: ModelServer, sdk: OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        sdk.with_options(base_url="http://127.0.0.1:9").chat.completions.create(**PIECE)


def _cannot_be_sent(_server: ModelServer, sdk: OpenAI) -> None:
    with pytest.raises(TypeError):
        sdk.chat.completions.create(**PIECE, extra_body={"unheard": object()})


def _interrupted(_server: ModelServer, sdk: OpenAI) -> None:
    def press(_request: Any) -> None:
        raise KeyboardInterrupt

    http = openai.DefaultHttpxClient(event_hooks={"request": [press]})
    with http, pytest.raises(KeyboardInterrupt):
        sdk.with_options(http_client=http).chat.completions.create(**PIECE)


class Found(BaseModel):
    """What the model is to answer with."""


def _refused_by_the_sdk(server: ModelServer, sdk: OpenAI) -> None:
    cut = chat()
    cut["choices"][0]["finish_reason"] = "length"
    server.replies(json_reply(cut))
    with pytest.raises(openai.LengthFinishReasonError):
        sdk.chat.completions.parse(**PIECE, response_format=Found)


def _stream(server: ModelServer, sdk: OpenAI) -> Any:
    server.replies(chat_stream(PLAIN))
    return sdk.chat.completions.create(**PIECE, stream=True)


def _dropped(server: ModelServer, sdk: OpenAI) -> None:
    stream = _stream(server, sdk)
    next(stream)
    del stream
    gc.collect()


def _never_looked_at(server: ModelServer, sdk: OpenAI) -> None:
    _stream(server, sdk)
    gc.collect()


def _closed(server: ModelServer, sdk: OpenAI) -> None:
    with _stream(server, sdk) as stream:
        next(stream)


def _thrown_out_of(server: ModelServer, sdk: OpenAI) -> None:
    with contextlib.suppress(ZeroDivisionError), _stream(server, sdk) as stream:
        raise ZeroDivisionError(next(stream))


def _broken(server: ModelServer, sdk: OpenAI) -> None:
    server.replies(chat_stream(PLAIN, drop=True))
    with pytest.raises(openai.APIConnectionError):
        list(sdk.chat.completions.create(**PIECE, stream=True))


def _error_within(server: ModelServer, sdk: OpenAI) -> None:
    server.replies(sse_reply([*chat_chunks(PLAIN)[:2], {"error": {"message": "overloaded"}}]))
    with pytest.raises(openai.APIError):
        list(sdk.chat.completions.create(**PIECE, stream=True))


def _never_read(server: ModelServer, sdk: OpenAI) -> None:
    server.replies(chat_reply())
    with sdk.chat.completions.with_streaming_response.create(**PIECE):
        pass


ENDINGS: dict[str, Ending] = {
    **{f"status {status}": _status(status) for status in (400, 401, 429, 500, 503)},
    "a broken answer": _answer(Reply(body=b'{"id"', drop=True)),
    "no JSON": _answer(Reply(body=b"<html>", content_type="text/html")),
    "half of a JSON": _answer(Reply(body=b'{"id": ')),
    "a list": _answer(json_reply([1, 2])),
    "no usage": _answer(json_reply(chat(None))),
    "a strange usage": _answer(json_reply(chat({"prompt_tokens": "many", "completion_tokens": [-1]}))),
    "a time-out": _time_out,
    "nobody there": _nobody_there,
    "what cannot be sent": _cannot_be_sent,
    "an interrupt": _interrupted,
    "an answer that the SDK refuses": _refused_by_the_sdk,
    "a dropped stream": _dropped,
    "a stream that nobody looked at": _never_looked_at,
    "a closed stream": _closed,
    "a stream whose reader failed": _thrown_out_of,
    "a broken stream": _broken,
    "a stream with an error": _error_within,
    "a response that nobody read": _never_read,
}


@contextlib.contextmanager
def nothing_leaks(telemetry: Telemetry, server: ModelServer, ledger: str = "memory://") -> Generator[None]:
    """A budget without waiting; at the end of the block nothing is held, and little is spent."""
    with budgeted(telemetry, budgets=BUDGET, wait_seconds=0, ledger=ledger):
        yield
        deadline = time.monotonic() + 10
        while any((stands := standing()).held.values()) and time.monotonic() < deadline:
            time.sleep(0.01)  # a shared ledger is told in a thread, so that no event loop waits for it
        assert not any(stands.held.values())
        assert stands.spent["nano_usd"] < 0.1 * 0.01 * 1e9
        with OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as sdk:
            ask(sdk, **{**MOST_OF_IT, "model": "gpt-4o-mini"})


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_call_gives_back_what_it_held(telemetry: Telemetry, model_server: ModelServer, ending: str) -> None:
    """Whole or as a stream, and whoever ends it: the provider, the network, the SDK, the application."""
    with nothing_leaks(telemetry, answering(model_server)):
        with OpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as sdk:
            for _ in range(TIMES):
                ENDINGS[ending](model_server, sdk)
        answering(model_server)


@pytest.mark.parametrize(
    ("owner", "function", "usd"),
    [
        (Chat, "read_response", 0),
        (pricing, "cost_of", 0),
        (Admission, "settle", 0),
        (Recorder, "charge_model_call", PLAIN_USD),
        (spans, "answer_attributes", PLAIN_USD),
        (spans.Record, "close", PLAIN_USD),
        (BudgetReports, "level", PLAIN_USD),
    ],
)
def test_what_goes_wrong_in_here_gives_it_back_too(
    telemetry: Telemetry,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    function: str,
    usd: float,
) -> None:
    """A mistake of our own neither reaches the application nor keeps the hold; the call counts, and what it is known
    to have cost.
    """

    def mistake(*_args: Any, **_kwargs: Any) -> Any:
        raise ZeroDivisionError

    with nothing_leaks(telemetry, answering(model_server)):
        with monkeypatch.context() as patched, OpenAI(base_url=model_server.url + "/v1", api_key="none") as sdk:
            patched.setattr(owner, function, mistake)
            for _ in range(TIMES):
                assert sdk.chat.completions.create(**PIECE).choices
        assert len(model_server.requests) == standing().spent["calls"] == TIMES
        assert standing().spent["nano_usd"] == round(TIMES * usd * 1e9)


async def _cancelled(sdk: AsyncOpenAI) -> None:
    task = asyncio.create_task(sdk.chat.completions.create(**PIECE))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _timed_out(sdk: AsyncOpenAI) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(sdk.chat.completions.create(**PIECE), 0.02)


async def _collected() -> None:
    # The SDK's asynchronous streams are cycles of objects and of generators that the event loop closes.
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)


async def _cancelled_in_a_stream(sdk: AsyncOpenAI) -> None:
    async def read() -> None:
        async for _chunk in await sdk.chat.completions.create(**PIECE, stream=True):
            await asyncio.sleep(10)

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await _collected()


async def _dropped_stream(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(**PIECE, stream=True)
    await anext(stream.__aiter__())
    del stream
    await _collected()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("ending", [_cancelled, _timed_out, _cancelled_in_a_stream, _dropped_stream])
async def test_a_cancelled_task_gives_back_what_it_held(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Any, kind: str, ending: Callable[..., Any]
) -> None:
    """Tasks that are cancelled, waited for no longer, or leave their stream where it is."""

    def reply(request: Request) -> Reply:
        if request.json.get("stream"):
            return chat_stream(PLAIN, pause=0.01)
        return _slow(request) if request.json["max_tokens"] == 4000 else chat_reply()

    model_server.responder = reply
    ledger = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/ledger.db"
    with nothing_leaks(telemetry, model_server, ledger):
        async with async_client(model_server) as sdk:
            for _ in range(TIMES):
                await ending(sdk)


def test_a_refusal_holds_nothing_in_the_budgets_that_had_room(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Of three budgets the last refuses: the first two are as they were, after a hundred times."""
    rules = f"{BUDGET};user:usd=0.01;model:calls=1"
    keys = ("total/all/", "user/all/u1", "model/all/gpt-4o-mini")
    made = OpenAI(base_url=answering(model_server).url + "/v1", api_key="none")
    with made as sdk, budgeted(telemetry, budgets=rules, user="u1", wait_seconds=0):
        ask(sdk)
        before = [standing(key) for key in keys]
        for _ in range(100):
            with pytest.raises(BudgetExceeded):
                sdk.chat.completions.create(**PIECE)
        after = [standing(key) for key in keys]
    assert before == after
    assert not any(amount for stands in after for amount in stands.held.values())
