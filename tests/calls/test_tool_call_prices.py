"""What a call of a hand-written tool costs: by the second, by what it brings, and when its price function fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry


def by_page(arguments: dict[str, Any], pages: Any) -> Decimal:
    """A tenth of a cent a page, for each language."""
    return Decimal("0.001") * len(pages) * len(arguments["languages"])


@otel_agentcost.tool(usd=by_page)
def read(book: str, *, languages: tuple[str, ...] = ("en",)) -> list[str]:
    """Two pages of a book."""
    return [f"{book} {page} {languages}" for page in (1, 2)]


@otel_agentcost.tool(usd=by_page)
async def read_soon(languages: list[str]) -> list[str]:
    """A page, which forgets what it was asked for."""
    await asyncio.sleep(0)
    languages.clear()
    languages.append("all")
    return ["1"]


@otel_agentcost.tool(usd=by_page)
def pages(languages: str, most: int = 100) -> Iterator[int]:
    """Pages, one after the other."""
    for page in range(most):
        if page == 5:
            raise OSError(languages)
        yield page


@otel_agentcost.tool(usd=by_page)
async def pages_soon(languages: str) -> AsyncIterator[int]:
    """Pages, one after the other."""
    for page in range(3):
        await asyncio.sleep(0)
        yield page


def test_a_function_of_arguments_and_result_is_the_price(telemetry: Telemetry) -> None:
    """It gets the arguments by their names, with the defaults of those that were not given."""
    with instrumented(telemetry):
        read("Bees")
        read("Bees", languages=("en", "de", "fr"))
        asyncio.run(read_soon(["en"]))
    assert [dict(span.attributes or {})[semconv.COST] for span in telemetry.spans] == [0.002, 0.006, 0.001]
    assert telemetry.total("agentcost.cost", gen_ai__tool__name="read") == 0.008


def test_a_generator_is_one_call_that_ends_with_it(telemetry: Telemetry) -> None:
    """Charged once, for all its items; the span holds what it does, and not what is done with its items."""
    with instrumented(telemetry):
        tracer = telemetry.tracer_provider.get_tracer("app")
        for page in pages("e", most=3):
            with tracer.start_as_current_span(f"reading {page}"):
                assert not [span for span in telemetry.spans if span.name.startswith("execute_tool")]
    span = telemetry.span("execute_tool pages")
    assert dict(span.attributes or {})[semconv.COST] == 0.003
    assert telemetry.span("reading 1").parent is None
    assert (telemetry.span("reading 0").end_time or 0) <= (span.end_time or 0)


def test_a_generator_that_is_left_is_charged_for_what_it_brought(telemetry: Telemetry) -> None:
    """Closed early is no error; one that raises is one, and is charged all the same."""
    with instrumented(telemetry):
        left: Any = pages("e")
        assert next(left) == 0
        left.close()
        with pytest.raises(OSError, match="e"):
            list(pages("e"))
    closed, failed = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (closed[semconv.COST], closed.get(semconv.ERROR_TYPE)) == (0.001, None)
    assert (failed[semconv.COST], failed[semconv.ERROR_TYPE]) == (0.005, "OSError")


def test_an_asynchronous_generator_is_charged_once(telemetry: Telemetry) -> None:
    """To its end, and left half-way."""

    async def consume() -> None:
        assert [page async for page in pages_soon("e")] == [0, 1, 2]
        left: Any = pages_soon("e")
        assert await left.__anext__() == 0
        await left.aclose()

    with instrumented(telemetry):
        asyncio.run(consume())
    assert [dict(span.attributes or {})[semconv.COST] for span in telemetry.spans] == [0.003, 0.001]


def test_a_tool_may_be_charged_by_the_second(telemetry: Telemetry) -> None:
    """From the settings or from the code: what the call took, times the price."""

    @otel_agentcost.tool(usd="1/s")
    def own() -> None:
        time.sleep(0.02)

    @otel_agentcost.tool
    def sandbox() -> None:
        time.sleep(0.02)

    with instrumented(telemetry, settings=Settings(tool_prices={"sandbox": "2/s"})):
        own()
        sandbox()
    for name, rate in (("own", 1), ("sandbox", 2)):
        span = telemetry.span(f"execute_tool {name}")
        took = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
        usd: Any = dict(span.attributes or {})[semconv.COST]
        assert 0.02 * rate <= usd <= took * rate + 0.001


def raising(_arguments: dict[str, Any], _result: Any) -> float:
    """A price function with a mistake in it."""
    raise LookupError("no such page")


@pytest.mark.parametrize(
    ("price", "why"),
    [
        (raising, "the tool's price function raised LookupError"),
        (lambda _arguments, _result: None, "the tool's price function returned no amount of dollars"),
        (lambda _arguments, _result: -1, "the tool's price function returned no amount of dollars"),
        (lambda _arguments, _result: 10**9, "the tool's price function returned no amount of dollars"),
    ],
)
def test_a_price_function_that_fails_is_told_once_and_nobody_elses_problem(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, price: Any, why: str
) -> None:
    """The tool's result arrives; the call is unpriced, and the totals say that they are a lower bound."""
    looked = otel_agentcost.tool(usd=price, name="look")(lambda: "found")
    with instrumented(telemetry):
        tracer = telemetry.tracer_provider.get_tracer("app")
        with tracer.start_as_current_span("agent"), caplog.at_level(logging.WARNING, "otel_agentcost"):
            assert [looked(), looked()] == ["found", "found"]
    said = [dict(span.attributes or {}) for span in telemetry.spans if span.name == "execute_tool look"]
    assert [(one[semconv.UNPRICED], one.get(semconv.COST)) for one in said] == [(why, None)] * 2
    assert telemetry.attributes("agent")[semconv.TRACE_UNPRICED_CALLS] == 2
    assert telemetry.total("agentcost.unpriced.calls", agentcost__unpriced__reason=why) == 2
    assert len([record for record in caplog.records if "price function of the tool look" in record.message]) == 1


def test_a_price_that_depends_on_a_result_that_never_came_is_not_known(telemetry: Telemetry) -> None:
    """The price function is not asked about a call that raised."""

    @otel_agentcost.tool(usd=by_page)
    def failing(languages: str) -> None:
        raise KeyError(languages)

    with instrumented(telemetry), pytest.raises(KeyError):
        failing("e")
    said = telemetry.attributes("execute_tool failing")
    assert said[semconv.UNPRICED] == "the tool failed, and its price depends on its result"
    assert semconv.COST not in said


def test_dollars_of_price_functions_count_in_runs_and_budgets(telemetry: Telemetry) -> None:
    """A run knows what its tools have cost, exactly."""
    with budgeted(telemetry, trace_budget_usd=1), otel_agentcost.run("reading", usd=1) as run:
        read("Bees")
        assert list(pages("e", most=2)) == [0, 1]
    assert run.cost_usd == Decimal("0.004")


def test_an_asynchronous_price_function_is_refused_where_it_is_written() -> None:
    """Nobody would wait for it."""

    async def price(_arguments: dict[str, Any], _result: Any) -> float:
        return 0.1

    refused: Any = price
    with pytest.raises(ValueError, match="a function of arguments and result that is not async"):
        otel_agentcost.tool(usd=refused)


def test_a_price_of_a_tool_that_is_never_called_is_not_silent(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt name prices nothing: after a hundred calls of tools the log has it, once, and what had no price."""
    prices: Any = "web_serch=0.005,read_*=0.001,unused=0.1"
    with instrumented(telemetry, settings=Settings(tool_prices=prices)), caplog.at_level(logging.WARNING):
        for number in range(150):
            with otel_agentcost.tool_call("web_search" if number % 2 else "read_page"):
                pass
            assert (number < 99) == ("TOOL_PRICES" not in caplog.text)
    (said,) = (record.getMessage() for record in caplog.records if "TOOL_PRICES" in record.getMessage())
    assert "TOOL_PRICES has web_serch, unused, but none of the first 100 tool calls had such a name" in said
    assert "Without a price were web_search. Correct the name" in said
