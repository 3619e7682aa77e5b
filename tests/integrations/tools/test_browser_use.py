"""browser-use: functions of the application, without a browser. tests/integrations/agents has its actions on one."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("browser_use", reason="browser-use is not here: `make frameworks`")


@pytest.fixture(name="registry")
def a_registry() -> Any:
    """The actions of an agent, with two functions of the application."""
    tools = sdk.Tools()

    @tools.action("Finds pages.")  # type: ignore[untyped-decorator] # the framework is no dependency
    def search(query: str) -> Any:
        if query == "nothing":
            raise KeyError(query)
        return sdk.ActionResult(error="offline") if query == "later" else f"pages on {query}"

    @tools.action("Looks up.")  # type: ignore[untyped-decorator] # the framework is no dependency
    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        return query

    return tools.registry


async def call(registry: Any, query: str = "bees", name: str = "search") -> Any:
    """Call a function as an agent does."""
    return await registry.execute_action(name, {"query": query})


async def test_a_function_that_an_agent_calls_is_one_span(telemetry: Telemetry, registry: Any) -> None:
    """With its arguments and its result, where they are asked for."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await call(registry)
    attributes = one_call(telemetry)
    assert attributes[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert attributes[semconv.TOOL_RESULT] == "pages on bees"


@pytest.mark.parametrize(("query", "error"), [("nothing", "RuntimeError"), ("later", "tool_error")])
async def test_an_error_is_one(telemetry: Telemetry, registry: Any, query: str, error: str) -> None:
    """Whether it is raised or returned."""
    with priced(telemetry):
        try:
            await call(registry, query)
        except RuntimeError:
            assert query == "nothing"
    assert one_call(telemetry)[semconv.ERROR_TYPE] == error


async def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry, registry: Any) -> None:
    """A decorated function that is an action as well is one call, at the decorator's price."""
    with priced(telemetry):
        await call(registry, name="lookup")
    assert counted(telemetry) == (1, 0.5)
    assert telemetry.total("agentcost.cost") == 0.5


async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry, registry: Any) -> None:
    """Seen from the functions alone, without a conversation."""
    with priced(telemetry):
        for _ in range(4):
            await call(registry)
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
    assert len(tool_spans(telemetry)) == 4
