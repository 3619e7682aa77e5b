"""Answers that go on after their call: OpenAI's background responses, whole and streamed, and xAI's deferred ones.

The call reserves $0.0605 (2,000 characters in at most, 6,000 tokens out); the finished answer costs $0.0525.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from openai import APIConnectionError, AsyncOpenAI, OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.calls import active
from otel_agentcost.telemetry.run_context import Run
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply, sse_event

USD = Decimal("0.0525")
"""2,000 tokens in and 5,000 out of gpt-5, at $1.25 and $10 a million."""
ASK: dict[str, Any] = {"model": "gpt-5", "input": "Think. " * 200, "background": True, "max_output_tokens": 6000}
USAGE = {
    "input_tokens": 2000,
    "output_tokens": 5000,
    "total_tokens": 7000,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


def response(status: str, usage: Any = None, answer_id: str = "resp_1") -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "status": status,
        "background": True,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def event(number: int, kind: str, **more: Any) -> bytes:
    return sse_event({"type": kind, "sequence_number": number, **more})


def delta(number: int) -> bytes:
    more = {"item_id": "i", "output_index": 0, "content_index": 0, "delta": "Hello"}
    return event(number, "response.output_text.delta", **more)


BROKEN = Reply(
    content_type="text/event-stream",
    chunks=[event(0, "response.created", response=response("in_progress")), delta(1)],
    drop=True,
)
BROKEN_AGAIN = Reply(content_type="text/event-stream", chunks=[delta(2)], drop=True)
FINISHED = Reply(
    content_type="text/event-stream",
    chunks=[delta(2), event(3, "response.completed", response=response("completed", USAGE))],
)
QUEUED, WORKING = json_reply(response("queued")), json_reply(response("in_progress"))
DONE, CANCELLED = json_reply(response("completed", USAGE)), json_reply(response("cancelled"))


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as made:
        yield made


def begin(openai: OpenAI) -> None:
    """Begins a stream in the background, whose connection breaks after one delta."""
    with pytest.raises(APIConnectionError):
        list(openai.responses.create(**ASK, stream=True))


def resume(openai: OpenAI) -> Any:
    return list(openai.responses.retrieve("resp_1", stream=True, starting_after=1))


def dollars(telemetry: Telemetry) -> Decimal:
    """What all spans say together."""
    found: list[dict[str, Any]] = [dict(span.attributes or {}) for span in telemetry.spans]
    return Decimal(str(round(sum(each.get("agentcost.cost.usd", 0.0) for each in found), 9)))


def spent() -> tuple[Decimal, int]:
    """What the budget has counted in dollars, and what calls in flight hold of it, in nano-dollars."""
    running = active.active()
    assert running is not None
    assert running.gates.gate is not None
    standing = running.gates.gate.guard.ledger.wrapped.standing("total/all/", now=0.0)
    return Decimal(standing.spent["nano_usd"]).scaleb(-9), standing.held["nano_usd"]


def check_charged_once(telemetry: Telemetry, run: Run) -> None:
    assert dollars(telemetry) == run.cost_usd == USD
    assert spent() == (USD, 0)
    assert (run.llm_calls, run.unpriced_calls, run.output_tokens) == (1, 0, 5000)
    assert telemetry.total("agentcost.cost") == float(USD)
    assert telemetry.total("agentcost.tokens") == 7000
    assert not any("agentcost.usage.estimated" in (span.attributes or {}) for span in telemetry.spans)


def test_a_background_stream_that_breaks_is_not_estimated_as_ended(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Until it is resumed its cost is unknown; then it is charged, once, however often it is read again."""
    model_server.replies(BROKEN, BROKEN_AGAIN, FINISHED, FINISHED, DONE)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        begin(openai)
        with pytest.raises(APIConnectionError):
            resume(openai)
        assert (run.cost_usd, run.llm_calls, run.unpriced_calls) == (None, 1, 1)
        for span in telemetry.spans:
            assert "runs in the background" in str((span.attributes or {})["agentcost.unpriced"])
            assert "gen_ai.usage.output_tokens" not in (span.attributes or {})
        resume(openai)
        resume(openai)
        openai.responses.retrieve("resp_1")
        check_charged_once(telemetry, run)
    assert telemetry.attributes("invoke_workflow report")["agentcost.trace.cost_usd"] == float(USD)


def test_a_background_stream_that_is_left_is_not_estimated_as_ended(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """To stop reading does not stop the model: the rest is charged when it is read after all."""
    model_server.replies(BROKEN, FINISHED)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        with openai.responses.create(**ASK, stream=True) as stream:
            next(iter(stream))
        assert (run.cost_usd, run.unpriced_calls) == (None, 1)
        resume(openai)
        check_charged_once(telemetry, run)


def whole(openai: OpenAI) -> object:
    return openai.responses.retrieve("resp_1")


def raw(openai: OpenAI) -> object:
    return openai.responses.with_raw_response.retrieve("resp_1").parse()


def streaming(openai: OpenAI) -> object:
    with openai.responses.with_streaming_response.retrieve("resp_1") as answer:
        return answer.read()


@pytest.mark.parametrize("retrieve", [whole, raw, streaming])
def test_a_background_response_that_is_polled_is_charged_when_it_is_done(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, retrieve: Callable[[OpenAI], object]
) -> None:
    """Polling costs nothing; the finished response is charged once."""
    model_server.replies(QUEUED, WORKING, WORKING, DONE, DONE)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        openai.responses.create(**ASK)
        for _ in range(2):
            retrieve(openai)
        assert run.unpriced_calls == 1
        for _ in range(2):
            retrieve(openai)
        check_charged_once(telemetry, run)


@pytest.mark.asyncio
async def test_an_async_client_is_charged_alike(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The asynchronous client polls, and resumes a stream."""
    model_server.replies(QUEUED, WORKING, FINISHED)
    async with AsyncOpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as made:
        with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
            await made.responses.create(**ASK)
            await made.responses.retrieve("resp_1")
            async for _ in await made.responses.retrieve("resp_1", stream=True):
                pass
            check_charged_once(telemetry, run)


def test_an_unfinished_answer_is_never_overspent(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Until its usage is known, its worst case counts: the next call must not get the same money."""
    model_server.replies(BROKEN, FINISHED, DONE)
    with budgeted(telemetry, budgets="total:usd=0.1"):
        begin(openai)
        counted, held = spent()
        assert USD < counted < Decimal("0.1")
        assert held == 0
        with pytest.raises(BudgetExceeded):
            openai.responses.create(**ASK)
        resume(openai)
        assert spent() == (USD, 0)


def test_a_cancelled_answer_is_not_given_away(telemetry: Telemetry, openai: OpenAI, model_server: ModelServer) -> None:
    """What it used is not known: no dollars are invented, and budgets keep its worst case."""
    model_server.replies(QUEUED, CANCELLED, CANCELLED)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        openai.responses.create(**ASK)
        counted, _ = spent()
        openai.responses.cancel("resp_1")
        openai.responses.retrieve("resp_1")
        assert spent() == (counted, 0)
        assert (run.cost_usd, run.llm_calls, run.unpriced_calls) == (None, 1, 1)
    assert dollars(telemetry) == 0


ZEROS = {**USAGE, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
PART = {**USAGE, "output_tokens": 10, "total_tokens": 2010}


@pytest.mark.parametrize("usage", [ZEROS, PART], ids=["zeros", "a part"])
@pytest.mark.parametrize("begun", ["queued", "in_progress"])
def test_a_count_of_an_answer_that_goes_on_is_not_taken_for_its_end(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, begun: str, usage: Any
) -> None:
    """Neither with the first response nor with one that is polled: only the finished answer's usage is billed."""
    unfinished = json_reply(response("in_progress", usage))
    model_server.replies(json_reply(response(begun, usage)), unfinished, unfinished, DONE)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        openai.responses.create(**ASK)
        for _ in range(2):
            openai.responses.retrieve("resp_1")
        assert (run.cost_usd, run.unpriced_calls) == (None, 1)
        assert spent()[0] > USD
        openai.responses.retrieve("resp_1")
        check_charged_once(telemetry, run)


def test_usage_that_comes_after_the_cancellation_is_not_lost(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The response to the cancellation has no usage yet; a later retrieval has it."""
    model_server.replies(QUEUED, CANCELLED, json_reply(response("cancelled", USAGE)), DONE)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        openai.responses.create(**ASK)
        openai.responses.cancel("resp_1")
        for _ in range(2):
            openai.responses.retrieve("resp_1")
        check_charged_once(telemetry, run)


def test_a_background_stream_that_breaks_before_its_first_event_is_not_free(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The request was accepted, so the model works: the worst case counts, though no id can bring the answer."""
    model_server.replies(Reply(content_type="text/event-stream", chunks=[b": ping\n\n"], drop=True))
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        begin(openai)
        assert (run.cost_usd, run.unpriced_calls) == (None, 1)
        assert spent()[0] > USD
        assert spent()[1] == 0
    assert "runs in the background" in str(telemetry.attributes("chat gpt-5")["agentcost.unpriced"])


def resume_twice_at_once(openai: OpenAI) -> None:
    first, second = (openai.responses.retrieve("resp_1", stream=True, starting_after=1) for _ in range(2))
    for _ in zip(first, second, strict=True):
        pass


def resume_and_leave_at_the_end(openai: OpenAI) -> None:
    for each in openai.responses.retrieve("resp_1", stream=True, starting_after=1):
        if each.type == "response.completed":
            break
    gc.collect()  # the SDK's stream is in a reference cycle


def resume_raw(openai: OpenAI) -> None:
    with openai.responses.with_streaming_response.retrieve("resp_1", stream=True) as answer:
        for _ in answer.iter_lines():
            pass


def resume_with_another_client_in_a_thread(openai: OpenAI) -> None:
    thread = threading.Thread(target=resume, args=(openai.with_options(timeout=5),))
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    "again",
    [resume_twice_at_once, resume_and_leave_at_the_end, resume_raw, resume_with_another_client_in_a_thread],
)
def test_no_way_to_resume_is_charged_twice_or_never(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer, again: Callable[[OpenAI], None]
) -> None:
    """Two streams of one answer, a stream that is left at its last event, raw bytes, another client."""
    model_server.replies(BROKEN, FINISHED, FINISHED)
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        begin(openai)
        again(openai)
        check_charged_once(telemetry, run)


def test_an_answer_that_is_retrieved_in_many_threads_is_charged_once(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The first copy of the finished answer is charged."""
    model_server.responder = lambda request: QUEUED if request.method == "POST" else DONE
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        openai.responses.create(**ASK)
        threads = [threading.Thread(target=whole, args=(openai,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_charged_once(telemetry, run)


def test_an_answer_that_is_retrieved_in_another_trace_counts_there(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """The trace of the call has ended without a cost; the dollars are in the totals of the trace that retrieves it."""
    model_server.replies(QUEUED, DONE)
    with budgeted(telemetry):
        with otel_agentcost.run("begin"):
            openai.responses.create(**ASK)
        with otel_agentcost.run("fetch"):
            openai.responses.retrieve("resp_1")
    begun, fetched = (telemetry.attributes(f"invoke_workflow {name}") for name in ("begin", "fetch"))
    assert (begun["agentcost.trace.llm_calls"], begun["agentcost.trace.unpriced_calls"]) == (1, 1)
    assert "agentcost.trace.cost_usd" not in begun
    assert "agentcost.trace.input_tokens" not in begun  # the count is not known: it is not zero
    assert (fetched["agentcost.trace.llm_calls"], fetched["agentcost.trace.cost_usd"]) == (0, float(USD))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_does_not_charge_its_parents_answer(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Both may retrieve it; the process that made the call charges it."""
    model_server.responder = lambda request: QUEUED if request.method == "POST" else DONE
    with budgeted(telemetry):
        openai.responses.create(**ASK)
        child = os.fork()
        if child == 0:
            with OpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as other:
                other.responses.retrieve("resp_1")
            os._exit(int(telemetry.total("agentcost.cost") > 0))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_deferred_completion_is_charged_when_it_is_retrieved(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """xAI answers a deferred request with an id; until it is ready, a retrieval is empty (202)."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    message = {"role": "assistant", "content": "Forty-two."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    done = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [choice],
        "usage": usage,
    }

    def reply(request: Request) -> Reply:
        if request.method == "POST":
            return json_reply({"request_id": "f15c"})
        empty = len([each for each in model_server.requests if each.method == "GET"]) < 2
        return Reply(status=202, content_type="text/plain") if empty else json_reply(done)

    model_server.responder = reply
    messages: Any = [{"role": "user", "content": "Hi"}]
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("report") as run:
        deferred = {"deferred": True}
        openai.chat.completions.create(model="gpt-4o", messages=messages, max_tokens=200, extra_body=deferred)
        assert (run.cost_usd, run.unpriced_calls) == (None, 1)
        for _ in range(3):
            openai.get("/chat/deferred-completion/f15c", cast_to=object)
        assert (run.cost_usd, run.llm_calls, run.unpriced_calls) == (Decimal("0.0035"), 1, 0)
        assert spent() == (Decimal("0.0035"), 0)
    assert dollars(telemetry) == Decimal("0.0035")
