"""A process that lives long sees traces without number: none of them leaves anything behind, however it ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.guard.ledger.memory import SETTLED_AT_MOST
from tests.support.foreign_spans import ASKS, GROQ, SAYS

TRACES = 2_000
BUDGETS: dict[str, Any] = {"budgets": "total/day:usd=1000000;agent/day:calls=1000000;process:tokens=1000000000000"}

Shape = Callable[[trace.Tracer, trace.Tracer], None]


def ended(app: trace.Tracer, theirs: trace.Tracer) -> None:
    """All spans end."""
    with app.start_as_current_span("root"), theirs.start_as_current_span("chat", attributes=dict(ASKS)) as span:
        span.set_attributes(dict(SAYS))


def call_dropped(app: trace.Tracer, theirs: trace.Tracer) -> None:
    """The call's span is forgotten, and the trace goes on to its end."""
    with app.start_as_current_span("root"):
        theirs.start_span("chat", attributes=dict(ASKS))


def all_dropped(app: trace.Tracer, theirs: trace.Tracer) -> None:
    """No span ever ends."""
    root = app.start_span("root")
    theirs.start_span("chat", attributes=dict(ASKS), context=trace.set_span_in_context(root))


def agents(app: trace.Tracer, theirs: trace.Tracer) -> None:
    """An agent within an agent, and a tool."""
    asks = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "one"}
    with app.start_as_current_span("root"), app.start_as_current_span("one", attributes=asks):
        with app.start_as_current_span("two", attributes=asks):
            ended(app, theirs)
        app.start_span("tool", attributes={"gen_ai.operation.name": "execute_tool"}).end()


def growth(shape: Shape, sampler: Sampler, settings: dict[str, Any], warm_up: int) -> float:
    """Blocks of memory that a trace leaves behind, on average.

    The smallest of three averages: what leaks grows each time, and a table that gets its next size grows once.
    """
    tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    otel_agentcost.instrument(tracer_provider=tracers, meter_provider=meters, settings=Settings(**settings))
    try:
        app, theirs = tracers.get_tracer("app"), tracers.get_tracer(GROQ)

        def blocks_after(traces: int) -> int:
            for _ in range(traces):
                shape(app, theirs)
            gc.collect()
            tracers.force_flush()
            return sys.getallocatedblocks()

        marks = [blocks_after(warm_up), *(blocks_after(TRACES) for _ in range(3))]
        return min(after - before for before, after in pairwise(marks)) / TRACES
    finally:
        otel_agentcost.uninstrument()
        tracers.shutdown()
        meters.shutdown()


@pytest.mark.parametrize("shape", [ended, call_dropped, all_dropped, agents])
def test_traces_leave_nothing_behind(shape: Shape) -> None:
    """Sampled traces that end, or are forgotten in part or as a whole, are gone when they are over."""
    assert growth(shape, ALWAYS_ON, {}, warm_up=300) < 0.1


@pytest.mark.parametrize("shape", [ended, all_dropped])
def test_with_budgets(shape: Shape) -> None:
    """With budgets that outlive their traces, settled calls are remembered up to a number, and no more."""
    assert growth(shape, ALWAYS_ON, BUDGETS, warm_up=2 * SETTLED_AT_MOST + 300) < 0.1


def test_with_budgets_of_traces() -> None:
    """What a trace has spent goes some time after the trace has ended."""
    settings = {"trace_budget_usd": "1", "trace_max_llm_calls": 100}
    assert growth(ended, ALWAYS_ON, settings, warm_up=2 * SETTLED_AT_MOST + 300) < 0.1


def test_unsampled() -> None:
    """What is not sampled leaves nothing either."""
    assert growth(ended, ALWAYS_OFF, BUDGETS, warm_up=300) < 0.1
