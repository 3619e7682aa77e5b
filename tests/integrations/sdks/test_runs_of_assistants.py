"""Runs of OpenAI's assistants: priced when the finished run is read, once, in all ways in which the SDK reads it."""

# The SDK says that this API is old:
# pyright: reportDeprecated=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.run_context import Run
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply, sse_event

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

USD = Decimal("0.0035")
"""1,000 tokens in and 100 out of gpt-4o, at $2.50 and $10 a million."""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
PATH = "/v1/threads/thread_1/runs"


def run(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "run_1", "object": "thread.run", "created_at": 1, "thread_id": "thread_1", "assistant_id": "asst_1",
        "status": status, "model": "gpt-4o-2024-08-06", "instructions": "", "tools": [], "metadata": {},
        "usage": USAGE if status in ("completed", "incomplete") else None, "parallel_tool_calls": True, **more,
    }  # fmt: skip


def event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\n".encode() + sse_event(data)


def streamed(*states: dict[str, Any], drop: bool = False) -> Reply:
    step = {"id": "step_1", "object": "thread.run.step", "status": "completed", "usage": USAGE}
    events = [event(f"thread.run.{state['status']}", state) for state in states]
    events.insert(-1, event("thread.run.step.completed", step))
    end = [] if drop else [b"event: done\ndata: [DONE]\n\n"]
    return Reply(content_type="text/event-stream", chunks=[*events, *end], drop=drop)


class Assistant:
    """Answers the first request with a new run, the polls with what is next, and again and again with the last."""

    def __init__(self, *states: str | Reply) -> None:
        self.states = [json_reply(run(state)) if isinstance(state, str) else state for state in states]

    def __call__(self, request: Request) -> Reply:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as made:
        yield made


ASK: dict[str, Any] = {"thread_id": "thread_1", "assistant_id": "asst_1", "model": "gpt-4o"}


def check(telemetry: Telemetry, block: Run, usd: Decimal | None = USD) -> None:
    """One call, one charge."""
    assert (block.llm_calls, block.cost_usd, block.unpriced_calls) == (1, usd, 0 if usd is not None else 1)
    assert telemetry.total("agentcost.cost") == float(usd or 0)


def polled(openai: OpenAI) -> None:
    openai.beta.threads.runs.create(**ASK)
    for _ in range(4):
        openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")


def raw(openai: OpenAI) -> None:
    openai.beta.threads.runs.create(**ASK)
    for _ in range(4):
        openai.beta.threads.runs.with_raw_response.retrieve("run_1", thread_id="thread_1").parse()


def waited(openai: OpenAI) -> None:
    openai.beta.threads.runs.create_and_poll(**ASK, poll_interval_ms=1)
    openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")


def with_thread(openai: OpenAI) -> None:
    openai.beta.threads.create_and_run_poll(assistant_id="asst_1", model="gpt-4o", poll_interval_ms=1)


@pytest.mark.parametrize("read", [polled, raw, waited, with_thread])
def test_a_run_is_charged_when_it_is_read(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, read: Callable[[OpenAI], None]
) -> None:
    """Polls and further readings cost nothing."""
    model_server.responder = Assistant("queued", "in_progress", "completed")
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        read(openai)
        check(telemetry, block)


def whole_stream(openai: OpenAI) -> None:
    for _ in openai.beta.threads.runs.create(**ASK, stream=True):
        pass


def helper(openai: OpenAI) -> None:
    with openai.beta.threads.runs.stream(**ASK) as stream:
        stream.until_done()


def raw_stream(openai: OpenAI) -> None:
    with openai.beta.threads.runs.with_streaming_response.create(**ASK, stream=True) as response:
        for _ in response.iter_lines():
            pass


@pytest.mark.parametrize("read", [whole_stream, helper, raw_stream])
def test_a_streamed_run_is_charged_at_its_end(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, read: Callable[[OpenAI], None]
) -> None:
    """The usage of its steps is part of that of the run."""
    ended = streamed(run("queued"), run("in_progress"), run("completed"))
    model_server.responder = Assistant(ended, "completed")
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        read(openai)
        openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")
        check(telemetry, block)


def test_a_stream_that_is_left_is_charged_when_the_run_is_read(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The run goes on without its stream."""
    model_server.responder = Assistant(streamed(run("queued"), run("in_progress")), "completed")
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        with openai.beta.threads.runs.create(**ASK, stream=True) as stream:
            next(iter(stream))
        check(telemetry, block, None)
        openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")
        check(telemetry, block)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_run_that_waits_for_tools_goes_on_with_their_results(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, stream: bool
) -> None:
    """Handing in the results is no call of its own: the run's usage has both parts."""
    end = streamed(run("queued"), run("completed")) if stream else json_reply(run("completed"))
    model_server.responder = Assistant(streamed(run("queued"), run("requires_action")), end)
    outputs: Any = [{"tool_call_id": "call_1", "output": "42"}]
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        whole_stream(openai)
        handed: Any = openai.beta.threads.runs.submit_tool_outputs(
            "run_1", thread_id="thread_1", tool_outputs=outputs, stream=stream
        )
        for _ in handed if stream else ():
            pass
        check(telemetry, block)


@pytest.mark.asyncio
async def test_an_async_client_is_charged_alike(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Polled and streamed."""
    model_server.responder = Assistant("queued", "completed", streamed(run("queued"), run("completed", id="run_2")))
    async with AsyncOpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as made:
        with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
            await made.beta.threads.runs.create_and_poll(**ASK, poll_interval_ms=1)
            check(telemetry, block)
            async for _ in await made.beta.threads.runs.create(**ASK, stream=True):
                pass
            assert (block.llm_calls, block.cost_usd) == (2, 2 * USD)


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_a_run_without_a_usage_stays_unpriced(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, status: str
) -> None:
    """It may have cost something: it is not free."""
    model_server.responder = Assistant("queued", status)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        openai.beta.threads.runs.create(**ASK)
        openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")
        check(telemetry, block, None)
    assert any(status in str((span.attributes or {}).get(semconv.UNPRICED)) for span in telemetry.spans)


def test_sessions_of_the_code_interpreter_are_named(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """They are billed besides the tokens, and the run does not count them: the cost is a lower bound."""
    tools = [{"type": "code_interpreter"}, {"type": "file_search"}, {"type": "function", "function": {"name": "f"}}]
    model_server.responder = Assistant("queued", json_reply(run("completed", tools=tools)))
    with budgeted(telemetry), otel_agentcost.run("job") as block:
        openai.beta.threads.runs.create(**ASK)
        openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")
    assert block.cost_usd == USD
    last = dict(telemetry.spans[1].attributes or {})
    assert last[semconv.COST] == float(USD)
    assert last[semconv.UNPRICED] == "the run does not say how often it used code_interpreter"


def test_budgets_are_checked_when_a_run_is_created(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The reading of a finished run is never refused; the next run is."""
    model_server.responder = Assistant("queued", "completed")
    with budgeted(telemetry, budgets="total:usd=0.003"):
        openai.beta.threads.runs.create(**ASK)
        openai.beta.threads.runs.retrieve("run_1", thread_id="thread_1")
        with pytest.raises(BudgetExceeded):
            openai.beta.threads.runs.create(**ASK)
    assert [request.method for request in model_server.requests] == ["POST", "GET"]
