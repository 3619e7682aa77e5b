"""Haystack: tools, called as its agents call them."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import one_call, priced, repeats
from tests.support.in_memory import Telemetry

tools: Any = pytest.importorskip("haystack.tools", reason="haystack is not here: `make frameworks`")
errors: Any = pytest.importorskip("haystack.tools.errors", reason="haystack is not here")


@tools.tool  # type: ignore[untyped-decorator] # the framework is no dependency
def search(query: str) -> str:
    """Find pages."""
    if query == "nothing":
        raise KeyError(query)
    return f"pages on {query}"


def test_a_call_is_one_span(telemetry: Telemetry) -> None:
    """It counts once, with its price."""
    with priced(telemetry):
        assert search.invoke(query="bees") == "pages on bees"
    one_call(telemetry)


async def test_an_asynchronous_call_of_a_function_is_one_call(telemetry: Telemetry) -> None:
    """It runs in a thread, by the synchronous method."""
    with priced(telemetry):
        assert await search.invoke_async(query="bees") == "pages on bees"
    one_call(telemetry)


def test_a_failure_is_an_error(telemetry: Telemetry) -> None:
    """It is Haystack's, which the application sees."""
    with priced(telemetry), pytest.raises(errors.ToolInvocationError):
        search.invoke(query="nothing")
    assert "ToolInvocationError" in str(one_call(telemetry)[semconv.ERROR_TYPE])


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Its arguments and its results are known."""
    with priced(telemetry, loop_max_repeats=3):
        for _ in range(3):
            search.invoke(query="bees")
        assert repeats() == ["repeat"]
