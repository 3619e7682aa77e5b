"""Runs: what the code calls one piece of work, with an allowance of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from openai import OpenAI

import otel_agentcost
from otel_agentcost import BudgetExceeded, diagnostics
from tests.support.budgeted_calls import USD, answering, ask, async_client, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

CALL = Decimal(str(USD))


@pytest.fixture
def openai(model_server: ModelServer) -> Iterator[OpenAI]:
    """A client whose calls all succeed."""
    with client(answering(model_server)) as made:
        yield made


def test_a_run_knows_what_it_has_spent_and_what_is_left(telemetry: Telemetry, openai: OpenAI) -> None:
    """Exact dollars, inside the run and after it, so that an agent can decide by them."""
    with budgeted(telemetry), otel_agentcost.run("ticket", usd=0.01, user="u1", feature="support") as run:
        assert run.remaining_usd == Decimal("0.01")
        ask(openai)
        ask(openai)
        assert run.remaining_usd == Decimal("0.01") - 2 * CALL
    assert run.cost_usd == 2 * CALL
    assert (run.llm_calls, run.tool_calls, run.input_tokens, run.output_tokens) == (2, 0, 200, 100)
    root = telemetry.attributes("invoke_workflow ticket")
    assert root["gen_ai.workflow.name"] == "ticket"
    assert root["agentcost.trace.llm_calls"] == 2
    assert root["user.id"] == "u1"
    assert telemetry.spans[0].attributes is not None
    assert telemetry.spans[0].attributes["agentcost.feature"] == "support"


def test_a_run_stops_before_its_allowance_is_passed(
    telemetry: Telemetry, openai: OpenAI, model_server: ModelServer
) -> None:
    """Without any other budget, the run's own dollars are kept to, and a new run has new ones."""
    with budgeted(telemetry):
        for _ in range(2):
            model_server.requests.clear()
            with otel_agentcost.run("ticket", usd="0.0005") as run:
                made, error = until_refused(lambda: ask(openai))
            assert run.cost_usd == made * CALL <= Decimal("0.0005")
            assert len(model_server.requests) == made > 0
            assert error.scope == "run"
            assert "run=ticket:usd=0.0005" in str(error)


@pytest.mark.parametrize("limit", [{"tokens": 400}, {"llm_calls": 2}])
def test_a_run_may_limit_tokens_and_calls(telemetry: Telemetry, openai: OpenAI, limit: dict[str, Any]) -> None:
    """Each limit by itself stops it."""
    with budgeted(telemetry), otel_agentcost.run("ticket", **limit) as run:
        made, error = until_refused(lambda: ask(openai))
    assert run.llm_calls == made > 0
    assert error.unit == {"tokens": "tokens", "llm_calls": "calls"}[next(iter(limit))]


def test_a_run_may_limit_its_tool_calls(telemetry: Telemetry, openai: OpenAI) -> None:
    """Tools are never refused; the model call after one too many is."""

    @otel_agentcost.tool(usd="0.001")
    def look() -> None: ...

    with budgeted(telemetry), otel_agentcost.run("ticket", tool_calls=2) as run:
        for _ in range(3):
            look()
            if run.tool_calls <= 2:
                ask(openai)
        with pytest.raises(BudgetExceeded, match="tool calls"):
            ask(openai)
    assert run.cost_usd == 2 * CALL + Decimal("0.003")


def test_a_run_may_limit_its_time(telemetry: Telemetry, openai: OpenAI) -> None:
    """The seconds count from where the run was opened."""
    with budgeted(telemetry), otel_agentcost.run("ticket", seconds=1):
        ask(openai)
        threading.Event().wait(1.1)
        with pytest.raises(BudgetExceeded, match="seconds"):
            ask(openai)


def test_an_inner_run_can_only_be_tighter(telemetry: Telemetry, openai: OpenAI) -> None:
    """A child that is promised more than its parent has left gets what its parent has left."""
    with budgeted(telemetry), otel_agentcost.run("parent", llm_calls=3) as parent:
        ask(openai)
        with otel_agentcost.run("child", llm_calls=100, usd=5) as child:
            made, error = until_refused(lambda: ask(openai))
            assert child.remaining_usd == 5 - made * CALL
    assert made == 2
    assert "run=parent" in str(error)
    assert (parent.llm_calls, child.llm_calls) == (3, 2)


async def test_tasks_of_a_run_share_its_allowance(telemetry: Telemetry, model_server: ModelServer) -> None:
    """What `gather` starts inside the run counts in it, and no task opens a fresh allowance."""
    with budgeted(telemetry, wait_seconds="5"):
        async with async_client(answering(model_server)) as openai, otel_agentcost.run("fan-out", llm_calls=5) as run:
            calls = [openai.chat.completions.create(model="gpt-4o-mini", messages=[], max_tokens=9) for _ in range(20)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert run.llm_calls == 5
    assert sum(isinstance(outcome, BudgetExceeded) for outcome in outcomes) == 15
    assert len(model_server.requests) == 5


def test_threads_of_a_run_share_its_allowance(telemetry: Telemetry, openai: OpenAI) -> None:
    """A thread that is started inside counts in the run, too."""
    refused: list[BudgetExceeded] = []

    def work() -> None:
        try:
            ask(openai)
        except BudgetExceeded as error:
            refused.append(error)

    with budgeted(telemetry), otel_agentcost.run("ticket", llm_calls=2) as run:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (run.llm_calls, len(refused)) == (2, 4)


def test_a_decorated_function_is_a_new_run_each_time(telemetry: Telemetry, openai: OpenAI) -> None:
    """Each call of it has the whole allowance; its result, name and exceptions are its own."""

    @otel_agentcost.run("ticket", llm_calls=1)
    def once() -> str:
        """Says so."""
        return str(ask(openai).choices[0].message.content)

    @otel_agentcost.run("ticket", llm_calls=1)
    def twice() -> Iterator[str]:
        yield once()
        ask(openai)
        yield once()

    with budgeted(telemetry):
        assert [once(), once()] == ["Forty-two."] * 2
        with pytest.raises(BudgetExceeded):
            list(twice())
    assert (once.__name__, once.__doc__) == ("once", "Says so.")


async def test_decorated_coroutines_and_their_generators_are_runs(
    telemetry: Telemetry, model_server: ModelServer
) -> None:
    """`async def`, with and without `yield`, and `async with`."""
    async with async_client(answering(model_server)) as openai:

        async def call() -> Any:
            return await openai.chat.completions.create(model="gpt-4o-mini", messages=[], max_tokens=9)

        @otel_agentcost.run("one", llm_calls=1)
        async def one() -> None:
            await call()

        @otel_agentcost.run("many", llm_calls=2)
        async def many() -> AsyncIterator[Any]:
            for _ in range(9):
                yield await call()

        with budgeted(telemetry):
            await one()
            await one()
            seen = []
            with pytest.raises(BudgetExceeded):
                seen += [answer async for answer in many()]
            async with otel_agentcost.run("with", llm_calls=1) as run:
                await call()
    assert run.llm_calls == 1
    assert len(model_server.requests) == 5


def test_a_decorated_generator_counts_only_what_it_does_itself(telemetry: Telemetry, openai: OpenAI) -> None:
    """Between two of its items its consumer is not in the run, nor after a generator that was left half-way."""

    @otel_agentcost.run("each", llm_calls=1, user="u1")
    def each() -> Generator[Any]:
        yield ask(openai)
        yield None

    with budgeted(telemetry):
        one, other = each(), each()
        next(one)
        next(other)
        ask(openai)
        one.close()
        other.close()
        ask(openai)
    assert [dict(span.attributes or {}).get("user.id") for span in telemetry.spans] == [
        "u1",
        "u1",
        None,
        "u1",
        "u1",
        None,
    ]
    assert all("error.type" not in (span.attributes or {}) for span in telemetry.spans)


async def test_a_decorated_generator_is_sent_to_thrown_into_and_closed() -> None:
    """It does what it does without the decorator."""
    seen: list[object] = []

    @otel_agentcost.run("talk")
    async def talk() -> AsyncGenerator[int, str]:
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError as error:
                seen.append(error)
                yield 3
        finally:
            seen.append("over")

    items, problem = talk(), KeyError("mine")
    assert [await anext(items), await items.asend("hello"), await items.athrow(problem)] == [1, 2, 3]
    await items.aclose()
    assert seen == ["hello", problem, "over"]


async def test_one_run_may_be_open_in_several_tasks(telemetry: Telemetry) -> None:
    """Each `with` is a run of its own, in whatever order they end."""
    ticket, first, second = otel_agentcost.run("ticket", usd=1), asyncio.Event(), asyncio.Event()

    async def left_first() -> None:
        with ticket:
            first.set()
            await second.wait()
        otel_agentcost.adjust("0.5", reason="outside of it")

    async def left_last() -> Any:
        await first.wait()
        with ticket as run:
            second.set()
            await asyncio.sleep(0.01)
            otel_agentcost.adjust("0.1", reason="inside of it")
        return run

    with budgeted(telemetry):
        _, run = await asyncio.gather(left_first(), left_last())
    assert run.cost_usd == Decimal("0.1")
    assert len(telemetry.spans) == 2


def test_a_run_without_instrumentation_is_an_empty_block(openai: OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    """Code that opens runs works where nothing is instrumented, and the log says that no allowance holds."""
    diagnostics.forget_causes()
    with otel_agentcost.run("ticket", usd=1) as run:
        ask(openai)
    assert "NO BUDGET IS ENFORCED" in caplog.text
    assert run.cost_usd == 0
    assert run.remaining_usd == 1


def test_what_a_run_raises_is_on_its_span(telemetry: Telemetry) -> None:
    """The application's exception passes unchanged."""
    problem = KeyError("mine")
    with budgeted(telemetry), pytest.raises(KeyError) as caught, otel_agentcost.run("ticket"):
        raise problem
    assert caught.value is problem
    assert telemetry.attributes("invoke_workflow ticket")["error.type"] == "KeyError"


@pytest.mark.parametrize(
    "limit", [{"usd": 0}, {"usd": "$1"}, {"usd": -1}, {"tokens": 1.5}, {"llm_calls": 0}, {"on_exceed": "stop"}]
)
def test_a_limit_that_is_none_is_refused_at_once(limit: dict[str, Any]) -> None:
    """A mistake in the code is told where it is made, with the value quoted."""
    with pytest.raises(ValueError, match=next(iter(limit))):
        otel_agentcost.run("ticket", **limit)


def test_a_child_may_be_given_what_its_parent_has_left(telemetry: Telemetry, openai: OpenAI) -> None:
    """Also when that is nothing: the first model call is refused then, not the opening of the run."""
    with budgeted(telemetry), otel_agentcost.run("parent", usd="0.001") as parent:
        otel_agentcost.adjust("0.001", reason="all of it")
        with otel_agentcost.run("child", usd=parent.remaining_usd), pytest.raises(BudgetExceeded):
            ask(openai)


def test_refunds_and_adjustments_count_and_are_on_the_record(
    telemetry: Telemetry, openai: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """They change what is left, not what the calls have cost, and say why."""
    caplog.set_level(logging.INFO, "otel_agentcost")
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("ticket", usd="0.01") as run:
        ask(openai)
        otel_agentcost.adjust("0.005", reason="the search provider's bill")
        assert run.remaining_usd == Decimal("0.005") - CALL
        otel_agentcost.refund("0.004", reason="the answer was never delivered")
        assert run.cost_usd == CALL + Decimal("0.001")
        assert run.remaining_usd == Decimal("0.009") - CALL
        otel_agentcost.refund(5, reason="more than there was")
        assert run.remaining_usd == Decimal("0.01")
    assert run.cost_usd == 0
    events = [dict(event.attributes or {}) for event in telemetry.span("invoke_workflow ticket").events]
    assert [event["agentcost.budget.adjusted_usd"] for event in events] == [0.005, -0.004, -5]
    assert "the answer was never delivered" in caplog.text
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


@pytest.mark.parametrize(("usd", "reason"), [("1", " "), ("a lot", "why"), ("-1", "why")])
def test_a_refund_without_amount_or_reason_is_a_mistake(usd: str, reason: str) -> None:
    """Told where it is made."""
    with pytest.raises(ValueError, match=r"reason|amount|negative"):
        otel_agentcost.refund(usd, reason=reason)


def test_a_run_of_unpriced_calls_has_not_spent_zero(telemetry: Telemetry, openai: OpenAI) -> None:
    """Its cost is unknown until something is known: then it is a lower bound, and says so."""
    with budgeted(telemetry), otel_agentcost.run("ticket") as run:
        costs, texts = [run.cost_usd], [repr(run)]
        for model in ("nobodys-model", "gpt-4o-mini"):
            ask(openai, model=model)
            costs.append(run.cost_usd)
            texts.append(repr(run))
    assert costs == [0, None, CALL]
    assert texts == [
        "<run 'ticket': $0 spent, 0 model calls>",
        "<run 'ticket': cost unknown, 1 model calls, 1 unpriced>",
        "<run 'ticket': at least $0.000045 spent, 2 model calls, 1 unpriced>",
    ]


def test_an_unpriced_call_leaves_the_limit_of_a_run_as_it_was(telemetry: Telemetry, openai: OpenAI) -> None:
    """What remains is the budget's view, which counts no dollars of it: no exception, and no zero."""
    with budgeted(telemetry), otel_agentcost.run("ticket", usd="0.01") as run:
        ask(openai, model="nobodys-model")
        assert (run.cost_usd, run.remaining_usd) == (None, Decimal("0.01"))
