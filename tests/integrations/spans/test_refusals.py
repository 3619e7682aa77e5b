"""A call that another instrumentation announces is refused before it is made, where that instrumentation lets it be."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import otel_agentcost
from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import budgeted, until_refused
from tests.support.foreign_spans import ASKS, COHERE, GROQ, GROQ_TOO, MODEL, TOGETHER, USD, call, span_of
from tests.support.in_memory import Telemetry


def test_a_refusal_is_raised_and_on_the_record(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """Opening the span raises; the span is exported with the event and the error, and neither tokens nor dollars."""
    with budgeted(telemetry, budgets="total/day:usd=0.002"):
        made, error = until_refused(lambda: call(telemetry))
        with pytest.raises(BudgetExceeded):
            call(telemetry)
    assert made == 3  # what a call will take is not known before: the third passes the limit, and no other follows
    assert error.unit == "usd"
    span = telemetry.spans[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["agentcost.budget.exceeded"]
    assert (span.attributes or {})["error.type"] == "otel_agentcost.BudgetExceeded"
    assert "agentcost.cost.usd" not in (span.attributes or {})
    assert telemetry.total("agentcost.budget.refusals") == 2
    assert telemetry.total("agentcost.cost") == pytest.approx(3 * USD)
    said = [record.getMessage() for record in caplog.records if "a call of groq" in record.getMessage()]
    assert len(said) == 1


def test_an_output_limit_that_the_span_names_is_held(telemetry: Telemetry) -> None:
    """Where the span says how long the answer may be, a call is refused that could pass the budget by it."""
    asks = {**ASKS, "gen_ai.request.max_tokens": 183}
    with budgeted(telemetry, budgets="total/day:usd=0.0018"):
        made, _ = until_refused(lambda: call(telemetry, asks=asks))
    assert made == 2


def test_calls_in_flight_count(telemetry: Telemetry) -> None:
    """A call that is announced holds its place until its span ends."""
    budgets = budgeted(telemetry, budgets="total:calls=2", wait_seconds=0.0)
    with budgets, span_of(telemetry), span_of(telemetry), pytest.raises(BudgetExceeded, match="total:calls=2"):
        call(telemetry)


def test_a_refused_call_is_no_part_of_the_next(telemetry: Telemetry) -> None:
    """Ten refusals in a row are ten refusals: none is taken for a second span of the one before."""
    with budgeted(telemetry, budgets="total:calls=1"):
        call(telemetry)
        for scope in (GROQ, TOGETHER) * 5:
            with pytest.raises(BudgetExceeded):
                call(telemetry, scope)
    assert telemetry.total("agentcost.budget.refusals") == 10


def test_who_cannot_be_stopped_is_counted_all_the_same(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """A scope that catches what we raise is let through, loudly: its call would be made anyway, and unseen."""
    with budgeted(telemetry, budgets="total:calls=2"):
        for _ in range(4):
            call(telemetry, GROQ_TOO)
        with pytest.raises(BudgetExceeded) as refused:
            call(telemetry)
    assert refused.value.spent == 4
    assert telemetry.total("agentcost.budget.unenforced.calls") == 2
    assert telemetry.total("agentcost.budget.refusals") == 1
    assert len([record for record in caplog.records if "not let otel-agentcost stop them" in record.getMessage()]) == 1


def test_a_budget_of_a_model_that_is_named_late(telemetry: Telemetry) -> None:
    """A span that names its model at its end counts in that model's budget."""
    late = {"openinference.span.kind": "LLM", "llm.model_name": MODEL, "llm.token_count.prompt": 10}
    with budgeted(telemetry, budgets=f"model={MODEL}:calls=1"):
        call(telemetry, GROQ_TOO, {}, late, name="Completions")
        with pytest.raises(BudgetExceeded):
            call(telemetry)


@pytest.mark.parametrize("action", ["block", "clamp", "downgrade"])
def test_what_somebody_else_sends_cannot_be_changed(telemetry: Telemetry, action: str) -> None:
    """A call that would fit if it were shorter, or of the cheaper model, is refused, and holds nothing."""
    settings = {"downgrade": {MODEL: "llama-3.1-8b-instant"}} if action == "downgrade" else {}
    long = {**ASKS, "gen_ai.request.max_tokens": 1000}
    with budgeted(telemetry, budgets=f"total:usd=0.0002,on_exceed={action}", wait_seconds=0.0, **settings):
        for _ in range(2):
            with pytest.raises(BudgetExceeded):
                call(telemetry, asks=long)
        with pytest.raises(BudgetExceeded) as refused:
            call(telemetry, asks=long)
        assert (refused.value.spent, refused.value.held) == (0, 0)
        call(telemetry)
    assert telemetry.total("agentcost.budget.refusals") == 3


def test_a_budget_that_only_warns(telemetry: Telemetry) -> None:
    """It warns, once, and refuses nothing."""
    with budgeted(telemetry, budgets="total:usd=0.0005,on_exceed=warn"):
        call(telemetry)
        call(telemetry)
    assert telemetry.total("agentcost.budget.refusals") == 0
    assert telemetry.total("agentcost.budget.warnings", agentcost__budget__level="limit") == 1


def test_a_trace_has_its_own_allowance(telemetry: Telemetry) -> None:
    """The budget of a trace holds for these calls, trace by trace; and calls under no span share one."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    with budgeted(telemetry, trace_max_llm_calls=2):
        for _ in range(2):
            with tracer.start_as_current_span("root"):
                made, _ = until_refused(lambda: call(telemetry))
                assert made == 2
        made, error = until_refused(lambda: call(telemetry))
    assert made == 2
    assert "calls under no span" in error.value


def test_the_allowance_of_a_run(telemetry: Telemetry) -> None:
    """What the code allows a run holds for these calls, where no budget is set otherwise."""
    with budgeted(telemetry), otel_agentcost.run("work", llm_calls=1) as run:
        call(telemetry)
        with pytest.raises(BudgetExceeded):
            call(telemetry)
    assert run.cost_usd is not None
    assert float(run.cost_usd) == pytest.approx(USD)


def test_models_without_a_price_where_that_is_refused(telemetry: Telemetry) -> None:
    """A model that has no price is refused if the settings say so, but not one that is yet to be named."""
    with budgeted(telemetry, budgets="total:usd=1", unpriced="refuse"):
        with pytest.raises(BudgetExceeded):
            call(telemetry, asks={**ASKS, "gen_ai.request.model": "nobodys-model"})
        call(telemetry, COHERE, {"llm.request.type": "chat"}, {"gen_ai.request.model": "command-r-plus"})
    assert telemetry.total("agentcost.budget.refusals") == 1


def test_an_event_loop_is_not_held_up(telemetry: Telemetry) -> None:
    """Where calls in flight hold the rest, a call in an event loop is refused at once: nothing can be awaited here."""

    async def one() -> float:
        started = time.perf_counter()
        with span_of(telemetry), pytest.raises(BudgetExceeded):
            call(telemetry)
        return time.perf_counter() - started

    with budgeted(telemetry, budgets="total:calls=1", wait_seconds=5.0):
        assert asyncio.run(one()) < 1.0


def test_a_span_that_is_dropped_holds_nothing_for_ever(telemetry: Telemetry) -> None:
    """A call whose span never ends counts as made, without a price, as soon as nobody can end it any more."""
    tracer = telemetry.tracer_provider.get_tracer(GROQ)
    with budgeted(telemetry, budgets="total:calls=3", wait_seconds=0.0):
        span = tracer.start_span("chat", attributes=dict(ASKS))
        call(telemetry)
        assert span.is_recording()
        del span
        gc.collect()
        call(telemetry)
        with pytest.raises(BudgetExceeded) as refused:
            call(telemetry)
    assert (refused.value.spent, refused.value.held) == (3, 0)
    assert telemetry.total("agentcost.unpriced.calls", agentcost__unpriced__reason="its span never ended") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_does_not_settle_its_parents_calls(telemetry: Telemetry, tmp_path: Path) -> None:
    """A span that is open in a parent and dropped in its child stays the parent's call."""
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    tracer = telemetry.tracer_provider.get_tracer(GROQ)
    with budgeted(telemetry, budgets="total:calls=2", ledger=ledger, wait_seconds=0.0):
        spans = [tracer.start_span("chat", attributes=dict(ASKS))]
        if (child := os.fork()) == 0:
            spans.clear()
            gc.collect()
            telemetry.tracer_provider.force_flush()
            os._exit(0)
        os.waitpid(child, 0)
        call(telemetry)
        with pytest.raises(BudgetExceeded) as refused:
            call(telemetry)
        spans.pop().end()
    assert (refused.value.spent, refused.value.held) == (1, 1)


def test_what_is_not_sampled_is_not_seen() -> None:
    """A processor hears nothing of unsampled spans: their calls are neither refused nor counted."""
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    with budgeted(telemetry, budgets="total:calls=1"):
        for _ in range(3):
            call(telemetry)
    assert telemetry.total("agentcost.cost") == 0
    telemetry.shutdown()


def test_other_spans_are_never_refused(telemetry: Telemetry) -> None:
    """Agents, tools and the application's own spans start as ever when a budget is used up."""
    tool = {"gen_ai.operation.name": "execute_tool"}
    attempts: list[Callable[[], None]] = [
        lambda: call(telemetry, asks=tool),
        lambda: call(telemetry, "application"),
        lambda: call(telemetry, "opentelemetry.instrumentation.langchain"),
    ]
    with budgeted(telemetry, budgets="total:calls=1"):
        call(telemetry)
        for attempt in attempts:
            attempt()
    assert telemetry.total("agentcost.budget.refusals") == 0


def test_a_circuit_breaker_counts_these_calls_and_refuses_them(telemetry: Telemetry) -> None:
    """As those of our own: two refusals open it, and after its time one call is tried."""
    settings = {"budgets": "user=greedy:calls=1", "breakers": "agent:refusals=2/10m,open=1s"}
    reasons: list[str] = []
    with budgeted(telemetry, **settings):
        for user, pause in (("greedy", 0), ("greedy", 0), ("greedy", 0), ("modest", 0), ("modest", 1.1), ("modest", 0)):
            time.sleep(pause)
            with otel_agentcost.attribute(agent="a", user=user):
                try:
                    call(telemetry)
                    reasons.append("made")
                except BudgetExceeded as error:
                    reasons.append(error.reason)
    assert reasons == ["made", "spent", "spent", "circuit", "made", "made"]
    assert telemetry.total("agentcost.breaker.transitions", agentcost__breaker__state="closed") == 1
