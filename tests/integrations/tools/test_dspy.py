"""Tools of DSPy."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import one_call, priced
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("dspy", reason="dspy is not here: `make frameworks`")


def search(query: str) -> str:
    """Find pages."""
    return f"pages on {query}"


def fail(query: str) -> str:
    """Raise an exception."""
    raise KeyError(query)


async def test_a_call_is_one_span(telemetry: Telemetry) -> None:
    """With its arguments and its result; a synchronous function can be called in an asynchronous agent."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        assert await sdk.Tool(search).acall(query="bees") == "pages on bees"
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"


def test_an_exception_passes(telemetry: Telemetry) -> None:
    """It is the application's own."""
    with priced(telemetry), pytest.raises(KeyError, match="bees"):
        sdk.Tool(fail, name="search")(query="bees")
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"
