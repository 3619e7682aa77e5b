"""Hand-written tools: their spans, their prices, and their place in the totals."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.core import semconv
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry


@otel_agentcost.tool
def bare(word: str) -> str:
    """Repeats a word."""
    return word * 2


@otel_agentcost.tool(usd="0.005", name="web_search")
async def search(word: str) -> str:
    """Finds a word."""
    await asyncio.sleep(0)
    return word


@otel_agentcost.tool(usd=0.001)
def failing() -> None:
    """Fails."""
    raise KeyError("page")


def test_a_bare_decorator_is_a_span_without_a_price(telemetry: Telemetry) -> None:
    """`@tool` works without arguments, and the function stays what it is."""
    with instrumented(telemetry):
        assert bare("a") == "aa"
    said = telemetry.attributes("execute_tool bare")
    assert said[semconv.TOOL] == "bare"
    assert semconv.COST not in said
    assert bare.__doc__ == "Repeats a word."


def test_a_price_is_on_the_span_and_in_the_counter(telemetry: Telemetry) -> None:
    """An asynchronous tool with a price of its own, under the name that was given."""
    with instrumented(telemetry):
        assert asyncio.run(search("bees")) == "bees"
    assert telemetry.attributes("execute_tool web_search")[semconv.COST] == 0.005
    assert telemetry.total("agentcost.cost", gen_ai__tool__name="web_search") == 0.005


def test_a_price_from_the_settings_counts_where_the_code_has_none(telemetry: Telemetry) -> None:
    """`OTEL_AGENTCOST_TOOL_PRICES` prices a tool by its name, or by the pattern that fits it best."""
    with instrumented(telemetry, settings=Settings(tool_prices={"ba*": Decimal("0.25"), "*": "9"})):
        bare("a")
    assert telemetry.attributes("execute_tool bare")[semconv.COST] == 0.25


def test_a_tool_that_fails_is_charged_and_its_error_passes(telemetry: Telemetry) -> None:
    """The exception is the application's own, and the span says which it was."""
    with instrumented(telemetry), pytest.raises(KeyError, match="page"):
        failing()
    said = telemetry.attributes("execute_tool failing")
    assert (said[semconv.COST], said[semconv.ERROR_TYPE]) == (0.001, "KeyError")


def test_tools_count_in_the_totals_of_their_agent(telemetry: Telemetry) -> None:
    """The agent's span has the calls and the dollars of the tools that ran under it."""
    with instrumented(telemetry):
        tracer = telemetry.tracer_provider.get_tracer("app")
        with tracer.start_as_current_span("invoke_agent a", attributes={semconv.OPERATION: "invoke_agent"}):
            bare("a")
            asyncio.run(search("bees"))
    totals = telemetry.attributes("invoke_agent a")
    assert (totals[semconv.TRACE_TOOL_CALLS], totals[semconv.TRACE_TOOL_COST]) == (2, 0.005)
    assert totals[semconv.TRACE_COST] == 0.005


def test_a_tool_is_a_plain_function_where_nothing_is_instrumented() -> None:
    """Decorated code runs anywhere."""
    assert bare("b") == "bb"


@pytest.mark.parametrize("usd", ["five", -1, float("nan"), True])
def test_a_price_that_is_no_amount_is_refused_with_its_value(usd: object) -> None:
    """At import time of the user's module, in a sentence that quotes it."""
    with pytest.raises(ValueError, match="is not an amount of dollars"):
        otel_agentcost.tool(usd=usd)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
