"""One call is one charge, also where two instrumentations of an SDK see it, or calls of ours are made beneath it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.call_shapes import instrumented
from tests.support.foreign_spans import (
    ASKS,
    BEDROCK_TOO,
    BOTOCORE,
    GROQ,
    GROQ_TOO,
    MODEL,
    SAYS,
    USD,
    call,
    dollars,
    span_of,
)
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.replies import PLAIN_USD

TWICE = 2 * USD


def start(telemetry: Telemetry, scope: str, **asks: Any) -> trace.Span:
    """A span that its owner does not make the current one."""
    return telemetry.tracer_provider.get_tracer(scope).start_span("chat", attributes={**ASKS, **asks})


def end(span: trace.Span, *, usage: bool = True) -> None:
    if usage:
        span.set_attributes(dict(SAYS))
    span.end()


def test_a_span_within_a_span_of_the_same_call(telemetry: Telemetry) -> None:
    """Of two spans, one in the other, the one that ends first has the dollars; in the budgets they are one call."""
    with budgeted(telemetry, budgets="total:calls=1", wait_seconds=0.0), span_of(telemetry, GROQ_TOO):
        call(telemetry, GROQ)
    assert telemetry.total("agentcost.budget.refusals") == 0
    assert dollars(telemetry.spans) == [pytest.approx(USD)]
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


def test_a_span_beside_a_span_of_the_same_call(telemetry: Telemetry) -> None:
    """Two spans under one parent, open at the same time, of two scopes of one SDK, are one call."""
    with instrumented(telemetry):
        first, second = start(telemetry, GROQ), start(telemetry, GROQ_TOO)
        end(second)
        end(first)
    assert dollars(telemetry.spans) == [pytest.approx(USD)]
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


def test_the_span_that_knows_the_usage_has_the_dollars(telemetry: Telemetry) -> None:
    """If the first span to end has no usage, the other one is asked; only if none has any, the call is unpriced."""
    with instrumented(telemetry):
        first, second = start(telemetry, GROQ), start(telemetry, GROQ_TOO)
        end(second, usage=False)
        end(first)
        first, second = start(telemetry, GROQ), start(telemetry, GROQ_TOO)
        end(second, usage=False)
        end(first, usage=False)
    assert dollars(telemetry.spans) == [pytest.approx(USD)]
    assert telemetry.total("agentcost.unpriced.calls") == 1


def test_streams_that_are_open_at_once(telemetry: Telemetry) -> None:
    """Two calls whose spans overlap are two calls, with one instrumentation and with two."""
    with instrumented(telemetry):
        spans = [start(telemetry, GROQ), start(telemetry, GROQ)]
        for span in spans:
            end(span)
        assert telemetry.total("agentcost.cost") == pytest.approx(TWICE)
        spans = [start(telemetry, scope) for scope in (GROQ, GROQ_TOO, GROQ, GROQ_TOO)]
        for span in spans:
            end(span)
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * TWICE)
    assert len(dollars(telemetry.spans)) == 4


@pytest.mark.parametrize("other", [(BOTOCORE, MODEL), (GROQ_TOO, "llama-3.1-8b-instant")])
def test_other_sdks_and_other_models_are_other_calls(telemetry: Telemetry, other: tuple[str, str]) -> None:
    """Spans that overlap and are of two SDKs, or ask for two models, are two calls."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    with instrumented(telemetry), tracer.start_as_current_span("root"):
        spans = [start(telemetry, GROQ), start(telemetry, other[0], **{"gen_ai.request.model": other[1]})]
        for span in spans:
            end(span)
    assert telemetry.attributes("root")["agentcost.trace.llm_calls"] == 2


def test_tasks_do_not_mix_their_calls_up(telemetry: Telemetry) -> None:
    """Two instrumentations in twenty tasks at once: twenty charges."""

    async def one() -> None:
        first = start(telemetry, GROQ)
        await asyncio.sleep(0)
        second = start(telemetry, GROQ_TOO)
        await asyncio.sleep(0.001)
        end(second)
        await asyncio.sleep(0)
        end(first)

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    with instrumented(telemetry):
        asyncio.run(all_of_them())
    assert telemetry.total("agentcost.cost") == pytest.approx(20 * USD)


def test_bedrock_with_and_without_the_profile_in_the_name(telemetry: Telemetry) -> None:
    """One instrumentation cuts the model's name short, another does not: it is one call."""
    usage = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50}
    asks = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "us.amazon.nova-lite-v1:0"}
    with instrumented(telemetry), span_of(telemetry, BOTOCORE, asks, usage):
        short = {**asks, "gen_ai.request.model": "amazon.nova-lite-v1:0"}
        call(telemetry, BEDROCK_TOO, short, usage)
    assert len(dollars(telemetry.spans)) == 1


@pytest.mark.parametrize("model", ["gpt-4o-mini", MODEL], ids=["it takes the span", "it has a span of its own"])
def test_a_call_of_ours_beneath(telemetry: Telemetry, model_server: ModelServer, model: str) -> None:
    """Where an SDK that we patch makes the call after all, it is charged as that call, and the span adds nothing."""
    budgets = budgeted(telemetry, budgets="total:calls=10")
    asks = {**ASKS, "gen_ai.request.model": model}
    with client(answering(model_server)) as openai, budgets:
        with span_of(telemetry, GROQ, asks):
            ask(openai)
        assert telemetry.total("agentcost.cost") == pytest.approx(PLAIN_USD)
        for _ in range(9):  # one call is counted, not two: nine more fit
            call(telemetry)
    assert telemetry.total("agentcost.budget.refusals") == 0


def test_a_refused_call_of_ours_beneath(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A span that a refused call of ours has taken stands for no call: it counts nowhere."""
    budgets = budgeted(telemetry, budgets="total:calls=1", wait_seconds=0.0)
    asks = {**ASKS, "gen_ai.request.model": "gpt-4o-mini"}
    with client(answering(model_server)) as openai, budgets:
        ask(openai)
        with pytest.raises(BudgetExceeded), span_of(telemetry, GROQ_TOO, asks):
            ask(openai)
        with pytest.raises(BudgetExceeded) as refused:
            ask(openai)
    assert refused.value.spent == 1
