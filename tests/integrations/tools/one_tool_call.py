"""What must hold of a tool's call in whichever framework: one span, one price, one place in the totals.

Each framework's tests need it in their environment; `make frameworks` makes one for every row of `environments.py`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from otel_agentcost import Settings
from otel_agentcost.calls.active import active
from otel_agentcost.core import semconv
from otel_agentcost.wire import load
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

USD = 0.25
PRICES: Any = {"search": "0.25"}


@contextmanager
def priced(telemetry: Telemetry, prices: Any = PRICES, **settings: Any) -> Generator[None]:
    """Instrumented, with a price for the tool `search`, or with `prices`, under an agent's span."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    given = Settings(tool_prices=prices, **settings)
    with instrumented(telemetry, settings=given), tracer.start_as_current_span("agent"):
        yield


def tool_spans(telemetry: Telemetry) -> list[ReadableSpan]:
    """Those that say that they are a tool's call, but a server's."""
    return [
        span
        for span in telemetry.spans
        if (span.attributes or {}).get(semconv.OPERATION) == semconv.EXECUTE_TOOL and span.kind.name != "SERVER"
    ]


def counted(telemetry: Telemetry) -> tuple[object, object]:
    """How many calls, and what they cost, by the totals of the agent."""
    said = telemetry.attributes("agent")
    return said.get(semconv.TRACE_TOOL_CALLS), said.get(semconv.TRACE_TOOL_COST)


def one_call(telemetry: Telemetry, *, tool: str = "search", usd: float | None = USD) -> dict[str, Any]:
    """Asserts that one call of `tool` was seen, once; returns what its span says."""
    (span,) = tool_spans(telemetry)
    said = dict(span.attributes or {})
    assert said[semconv.TOOL] == tool
    assert said.get(semconv.COST) == usd
    calls, cost = counted(telemetry)
    assert (calls, cost or None) == (1, usd)
    assert telemetry.total("agentcost.cost", gen_ai__operation__name=semconv.EXECUTE_TOOL) == (usd or 0)
    return said


def repeats() -> list[str]:
    """The rules by which what was called so far is a loop: what the loop watch has learned of tools alone."""
    runtime = active()
    assert runtime is not None
    assert runtime.loops is not None
    (trace,) = runtime.loops._traces.values()
    return [found.rule for found in trace.loops.before_call(load("openai_chat"), {"messages": []}, 0)]
