"""Agno: tools of an agent, called as its models call them."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import one_call, priced, repeats
from tests.support.in_memory import Telemetry

functions: Any = pytest.importorskip("agno.tools.function", reason="agno is not here: `make frameworks`")


def search(query: str) -> str:
    """Find pages."""
    if query == "nothing":
        raise KeyError(query)
    return f"pages on {query}"


def call(query: str = "bees", call_id: str = "call_1") -> Any:
    """The model's call of the tool."""
    function = functions.Function.from_callable(search)
    return functions.FunctionCall(function=function, arguments={"query": query}, call_id=call_id)


def test_a_call_is_one_span_with_the_id_of_the_model(telemetry: Telemetry) -> None:
    """It counts once, with its price."""
    with priced(telemetry):
        assert call().execute().result == "pages on bees"
    assert one_call(telemetry)[semconv.TOOL_CALL_ID] == "call_1"


async def test_so_is_an_asynchronous_one(telemetry: Telemetry) -> None:
    """It has a method of its own."""
    with priced(telemetry):
        assert (await call().aexecute()).result == "pages on bees"
    one_call(telemetry)


def test_an_error_that_is_not_raised_is_an_error(telemetry: Telemetry) -> None:
    """Agno returns it to the model."""
    with priced(telemetry):
        assert call("nothing").execute().status == "failure"
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "tool_error"


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Its arguments and its results are known."""
    with priced(telemetry, loop_max_repeats=3):
        for number in range(3):
            call(call_id=f"call_{number}").execute()
        assert repeats() == ["repeat"]
