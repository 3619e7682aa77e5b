"""A call that does not fit is refused before it is sent, and the span, the log and the metrics say so."""

from __future__ import annotations

from decimal import Decimal

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from otel_agentcost import BudgetExceeded, diagnostics
from tests.support.budgeted_calls import USD, Later, answering, ask, async_client, budgeted, client, until_refused
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat

LIMIT = 0.0005


def test_a_trace_stops_before_its_budget_is_passed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A run under one span is refused before the call that could pass its budget, and nothing is sent then."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    budgets = budgeted(telemetry, trace_budget_usd=str(LIMIT))
    with client(answering(model_server)) as openai, budgets, tracer.start_as_current_span("agent") as root:
        made, error = until_refused(lambda: ask(openai))
    assert made * USD <= LIMIT < (made + 2) * USD
    assert len(model_server.requests) == made
    assert error.limit == Decimal("0.0005")
    assert error.spent == made * Decimal(str(USD))
    assert error.unit == "usd"
    assert error.requested is not None
    assert made * Decimal(str(USD)) + error.requested > Decimal("0.0005")
    assert error.trace_id == f"{root.get_span_context().trace_id:032x}"


def test_a_trace_is_as_old_as_its_first_span(telemetry: Telemetry, model_server: ModelServer) -> None:
    """What it does before its first model call takes of its time, too."""
    tracer, later = telemetry.tracer_provider.get_tracer("app"), Later()
    with client(answering(model_server)) as openai, budgeted(telemetry, later.clock, trace_max_seconds=1):
        with tracer.start_as_current_span("job"):
            later.pass_(1.05)
            with pytest.raises(BudgetExceeded, match="of 1 seconds"):
                ask(openai)
        with tracer.start_as_current_span("job"):
            ask(openai)
    assert len(model_server.requests) == 1


def test_a_script_without_any_span_is_one_run(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Calls under no span share one allowance: a trace each, no limit of a trace could ever stop them."""
    with client(answering(model_server)) as openai, budgeted(telemetry, trace_max_llm_calls=3):
        made, error = until_refused(lambda: ask(openai))
    assert made == 3
    assert len({span.context.trace_id for span in telemetry.spans if span.context}) == 4
    assert "calls outside a span" in str(error)


def test_sampling_does_not_switch_budgets_off(model_server: ModelServer) -> None:
    """Where no span is recorded at all, the budget of the trace holds just the same."""
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    tracer = telemetry.tracer_provider.get_tracer("app")
    with client(answering(model_server)) as openai, budgeted(telemetry, trace_max_llm_calls=3):
        for _ in range(2):
            with tracer.start_as_current_span("agent"):
                made, _ = until_refused(lambda: ask(openai))
                assert made == 3
    assert telemetry.spans == ()
    telemetry.shutdown()


async def test_asynchronous_calls_are_refused_too(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An awaited call raises the same exception."""
    async with async_client(answering(model_server)) as openai:
        with budgeted(telemetry, budgets="total:calls=1"):
            await openai.chat.completions.create(model="gpt-4o-mini", messages=[], max_tokens=5)
            with pytest.raises(BudgetExceeded, match="total:calls=1"):
                await openai.chat.completions.create(model="gpt-4o-mini", messages=[], max_tokens=5)


def test_a_refusal_is_on_the_span_and_on_the_metric(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The span of a refused call has the event, the figures and the error, and neither tokens nor dollars."""
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="model=gpt-4o-mini/day:usd=0.0001"):
        made, _ = until_refused(lambda: ask(openai))
    span = telemetry.spans[-1]
    (event,) = span.events[:1]
    said = dict(event.attributes or {})
    assert event.name == "agentcost.budget.exceeded"
    assert said["agentcost.budget"] == "model=gpt-4o-mini/day:usd=0.0001"
    assert said["agentcost.budget.limit"] == 0.0001
    assert said["agentcost.budget.spent"] == pytest.approx(made * USD)
    assert span.status.status_code is StatusCode.ERROR
    given = dict(span.attributes or {})
    assert given["error.type"] == "otel_agentcost.BudgetExceeded"
    assert not [name for name in given if "cost" in name.partition(".")[2] or "usage" in name]
    assert telemetry.total("agentcost.budget.refusals", agentcost__budget__scope="model") == 1
    assert telemetry.total("agentcost.cost") == pytest.approx(made * USD)
    assert telemetry.total("agentcost.budget.utilization") == pytest.approx(made * USD / 0.0001)


def test_the_soft_limit_is_told_once(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """At 80 % of a budget one event and one log record say so, and no call after it repeats them."""
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="total:calls=10"):
        made, _ = until_refused(lambda: ask(openai))
    assert made == 10
    events = [event.name for span in telemetry.spans for event in span.events]
    assert events.count("agentcost.budget.soft_limit") == 1
    warned = [record.getMessage() for record in caplog.records if "80% used" in record.getMessage()]
    assert warned == ["otel-agentcost: the budget total:calls=10 is 80% used: 8 of 10 calls."]
    assert telemetry.total("agentcost.budget.warnings", agentcost__budget__level="soft") == 1


def test_an_answer_without_usage_and_text_is_logged(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It moves no budget of dollars, because there is nothing to estimate from: log, span and metric say so."""
    diagnostics.forget_causes()
    answering(model_server, lambda request: json_reply(chat(None, model=request.json["model"], text="")))
    with client(model_server) as openai, budgeted(telemetry, budgets="total:usd=0.0001,calls=3"):
        made, error = until_refused(lambda: ask(openai))
    assert (made, error.unit) == (3, "calls")
    told = [record.getMessage() for record in caplog.records if "the response has no usage" in record.getMessage()]
    assert len(told) == 1
    assert "agentcost.budget.unenforced" in [event.name for event in telemetry.spans[0].events]
    assert telemetry.total("agentcost.budget.unenforced.calls") == 3


def test_refusals_in_a_row_send_nothing(telemetry: Telemetry, model_server: ModelServer) -> None:
    """An agent that goes on asking gets the same answer for ever, and the provider hears nothing of it."""
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="total:calls=1"):
        ask(openai)
        for _ in range(300):
            with pytest.raises(BudgetExceeded):
                ask(openai)
    assert len(model_server.requests) == 1


def test_a_refusal_is_on_the_span_of_the_sdk_too(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Where the SDK opens the call's span, that one has the event and says what the error was, refused or cut off."""
    tracer = telemetry.tracer_provider.get_tracer("com.anthropic.sdk.python")
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "openai"}
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="total:tokens=1"):
        span = tracer.start_span("anthropic.messages.create", attributes=asked)
        with trace.use_span(span), pytest.raises(BudgetExceeded):
            ask(openai)
        span.set_attribute("error.type", "client_error")
        span.end()
    (ended,) = telemetry.spans
    assert "agentcost.budget.exceeded" in [event.name for event in ended.events]
    assert dict(ended.attributes or {})["error.type"] == "otel_agentcost.BudgetExceeded"
    assert ended.status.status_code is StatusCode.ERROR


def test_calls_that_a_budget_cannot_see_are_told(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A budget for each user, and calls without one: they are made, and the log says once what to do."""
    with client(answering(model_server)) as openai, budgeted(telemetry, budgets="user/day:calls=1;team=a:calls=1"):
        for _ in range(3):
            ask(openai)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "calls without a user are not covered by a budget per user (user/day:calls=1)" in told[0]
    assert "OTEL_AGENTCOST_USER" in told[0]


def test_calls_that_a_breaker_cannot_see_are_told(
    telemetry: Telemetry, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """So it is with a circuit breaker for each agent, where no call says whose it is."""
    rules = "agent:trips=1/1m,open=1m;total:trips=1/1m,open=1m"
    with client(answering(model_server)) as openai, budgeted(telemetry, breakers=rules):
        for _ in range(2):
            ask(openai)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "calls without an agent are not covered by a circuit breaker per agent (agent:trips=1/1m,open=1m)" in told
