"""Roll-ups: what a trace and each agent in it spent, on the local root and the agents' spans, in tasks and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import otel_agentcost
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import USD, ask, ask_async, client

AGENT = {"gen_ai.operation.name": "invoke_agent"}


def rolled(telemetry: Telemetry, name: str) -> tuple[Any, Any, Any]:
    """Calls, tokens and dollars on the span `name`."""
    given = telemetry.attributes(name)
    return (
        given.get("agentcost.trace.llm_calls"),
        given.get("agentcost.trace.input_tokens"),
        given.get("agentcost.trace.cost_usd"),
    )


def test_root_and_nested_agents(telemetry: Telemetry) -> None:
    """Each agent's span has its own calls and those of the agents in it; the root has all; plain spans have none."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry), tracer.start_as_current_span("root"):
        ask()
        with tracer.start_as_current_span("outer", attributes=AGENT):
            ask()
            with tracer.start_as_current_span("step"), tracer.start_as_current_span("inner", attributes=AGENT):
                ask()
                ask()
    assert rolled(telemetry, "inner") == (2, 200, pytest.approx(2 * USD))
    assert rolled(telemetry, "outer") == (3, 300, pytest.approx(3 * USD))
    assert rolled(telemetry, "root") == (4, 400, pytest.approx(4 * USD))
    assert rolled(telemetry, "step") == (None, None, None)
    assert telemetry.histogram("agentcost.trace.llm_calls").sum == 4
    assert telemetry.histogram("agentcost.trace.cost").count == 1


def test_sum_over_calls_is_the_sum_over_roots(telemetry: Telemetry) -> None:
    """The dollars on the calls' own spans come to those on the root: nothing is counted twice, nothing is left out."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    root, agent = tracer.start_as_current_span("root"), tracer.start_as_current_span("agent", attributes=AGENT)
    with instrumented(telemetry), root, agent:
        for _ in range(7):
            ask()
    calls = [span.attributes or {} for span in telemetry.spans if span.name.startswith("chat")]
    spent = [cost for call in calls if isinstance(cost := call["agentcost.cost.usd"], float)]
    assert sum(spent) == pytest.approx(7 * USD)
    assert rolled(telemetry, "root")[2] == pytest.approx(7 * USD)
    assert telemetry.total("agentcost.cost") == pytest.approx(7 * USD)
    on_agent = telemetry.attributes("agent")
    assert "agentcost.cost.usd" not in on_agent
    assert "gen_ai.usage.input_tokens" not in on_agent


async def test_gather(telemetry: Telemetry) -> None:
    """Agents that run at the same time in one task group are kept apart, and the root has them all."""
    tracer = telemetry.tracer_provider.get_tracer("application")

    async def agent(number: int) -> None:
        with tracer.start_as_current_span(f"agent {number}", attributes=AGENT):
            await asyncio.gather(*(ask_async() for _ in range(number)))

    with instrumented(telemetry), tracer.start_as_current_span("root"):
        await asyncio.gather(*(agent(number) for number in range(1, 6)))
    for number in range(1, 6):
        assert rolled(telemetry, f"agent {number}")[0] == number
    assert rolled(telemetry, "root") == (15, 1500, pytest.approx(15 * USD))


def test_threads(telemetry: Telemetry) -> None:
    """Calls of worker threads that carry the context add to the trace, exactly."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    made = client()

    def work(ctx: context.Context) -> None:
        token = context.attach(ctx)
        ask(made)
        context.detach(token)

    with instrumented(telemetry), tracer.start_as_current_span("root"), ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [context.get_current()] * 64))
    assert rolled(telemetry, "root") == (64, 6400, pytest.approx(64 * USD))


def test_remote_parent_is_a_local_root(telemetry: Telemetry) -> None:
    """A service in the middle of a trace rolls up what was spent in it, on its own first span."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1)))
    with instrumented(telemetry), tracer.start_as_current_span("server", trace.set_span_in_context(remote)):
        ask()
    assert rolled(telemetry, "server") == (1, 100, USD)


def test_tools_are_rolled_up_beside_models(telemetry: Telemetry) -> None:
    """The dollars of tools and of models come together on the root, and apart."""

    @otel_agentcost.tool(usd=0.005)
    def search(query: str) -> str:
        return query

    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry), tracer.start_as_current_span("root"):
        search("x")
        ask()
    given: Mapping[str, Any] = telemetry.attributes("root")
    assert given["agentcost.trace.tool_cost_usd"] == 0.005
    assert given["agentcost.trace.tool_calls"] == 1
    assert given["agentcost.trace.llm_cost_usd"] == USD
    assert given["agentcost.trace.cost_usd"] == pytest.approx(0.005 + USD)
    assert telemetry.attributes("execute_tool search")["agentcost.cost.usd"] == 0.005


def test_unsampled_trace_still_counts() -> None:
    """With a sampler that drops every span, metrics have every token and every dollar."""
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry), tracer.start_as_current_span("root"):
        ask()
    assert telemetry.spans == ()
    assert telemetry.total("agentcost.cost") == USD
    assert telemetry.total("gen_ai.client.token.usage") == 150
    assert telemetry.histogram("gen_ai.client.operation.cost").sum == USD
    telemetry.shutdown()


def test_span_that_ends_before_its_call_is_not_written_to(telemetry: Telemetry) -> None:
    """A call that outlives the span that it was made under breaks nothing, and is counted by itself."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry):
        with tracer.start_as_current_span("root") as root:
            ctx = trace.set_span_in_context(root)
        token = context.attach(ctx)
        ask()
        context.detach(token)
    assert telemetry.attributes("chat gpt-4o-mini")["agentcost.cost.usd"] == USD
    assert rolled(telemetry, "root") == (None, None, None)


def test_calls_without_a_price_are_counted_on_the_root_and_are_not_zero_dollars(telemetry: Telemetry) -> None:
    """A lower bound says how many calls it leaves out; a trace of which nothing is priced has no dollars at all."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    with instrumented(telemetry):
        with tracer.start_as_current_span("some"):
            ask()
            ask(model="nobodys-model")
        with tracer.start_as_current_span("none"):
            ask(model="nobodys-model")
    some, none = telemetry.attributes("some"), telemetry.attributes("none")
    assert (some["agentcost.trace.unpriced_calls"], some["agentcost.trace.cost_usd"]) == (1, pytest.approx(USD))
    assert (none["agentcost.trace.unpriced_calls"], none["agentcost.trace.llm_calls"]) == (1, 1)
    assert "agentcost.trace.cost_usd" not in none
    assert "agentcost.trace.llm_cost_usd" not in none
    assert telemetry.histogram("agentcost.trace.cost").count == 1


def test_a_trace_of_unpriced_calls_and_tools_has_no_total_of_zero(telemetry: Telemetry) -> None:
    """A tool without a known cost, a free one, a priced one: what is known is a lower bound, and zero is none."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    unknown = otel_agentcost.tool(usd=lambda _arguments, _result: -1, name="unknown")(lambda: None)
    paid = otel_agentcost.tool(usd="0.005", name="paid")(lambda: None)
    with instrumented(telemetry):
        with tracer.start_as_current_span("unknown"):
            unknown()
        with tracer.start_as_current_span("both"):
            unknown()
            paid()
            ask(model="nobodys-model")
    assert "agentcost.trace.cost_usd" not in telemetry.attributes("unknown")
    assert "agentcost.trace.tool_cost_usd" not in telemetry.attributes("unknown")
    both = telemetry.attributes("both")
    assert (both["agentcost.trace.cost_usd"], both["agentcost.trace.tool_cost_usd"]) == (0.005, 0.005)
    assert "agentcost.trace.llm_cost_usd" not in both
