"""agent-framework: functions of an agent whose model is none, with the framework's own spans and without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

af: Any = pytest.importorskip("agent_framework", reason="agent-framework is not here: `make frameworks`")
observability: Any = pytest.importorskip("agent_framework.observability", reason="agent-framework is not here")
tools: Any = pytest.importorskip("agent_framework._tools", reason="agent-framework is not here")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # parts of it say that they are experimental


@pytest.fixture(params=[True, False], ids=["its spans", "our spans"], autouse=True)
def its_spans(request: pytest.FixtureRequest, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the framework makes spans; with the global provider, which is none of one test's own."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    monkeypatch.setattr(observability.OBSERVABILITY_SETTINGS, "enable_instrumentation", request.param)
    return bool(request.param)


def find_pages(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


def made(function: Any = find_pages, name: str = "search") -> Any:
    return af.FunctionTool(name=name, description="Finds pages.", func=function)


class Model(af.FunctionInvocationLayer, af.BaseChatClient):  # type: ignore[misc]
    """Calls `search` once, then says what it got."""

    async def _answer(self, messages: Any) -> Any:
        results = [part for message in messages for part in message.contents if part.type == "function_result"]
        call = af.Content.from_function_call(call_id="call_1", name="search", arguments='{"query": "bees"}')
        content = [af.Content.from_text(f"got {results[0].result}")] if results else [call]
        return af.ChatResponse(messages=[af.Message(role="assistant", contents=content)])

    def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
        return self._answer(messages)


async def test_a_tool_that_an_agent_calls_is_one_span(telemetry: Telemetry) -> None:
    """The framework's own, where it makes one; with the id of the model's call."""
    agent = af.Agent(client=Model(), tools=[made()])
    with priced(telemetry):
        assert (await agent.run("Find pages on bees")).text == "got pages on bees"
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_1"
    assert semconv.TOOL_ARGUMENTS not in said


async def test_an_error_that_becomes_an_answer_is_an_error(telemetry: Telemetry) -> None:
    """The model reads of it; the span says which it was."""

    def fail(query: str) -> str:
        raise KeyError(query)

    with priced(telemetry):
        answer = await af.Agent(client=Model(), tools=[made(fail)]).run("Find pages on bees")
    assert "Error" in answer.text
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


async def test_arguments_that_do_not_fit_are_no_call(telemetry: Telemetry) -> None:
    """The model is told, and the function is not run."""
    with priced(telemetry), pytest.raises(Exception, match="Invalid arguments"):
        await made().invoke(arguments={"query": ["bees"]})
    if hasattr(tools, "_FunctionArgumentValidationError"):  # older releases raise what a function may raise, too
        assert not counted(telemetry)[0]
        assert telemetry.total("agentcost.cost") == 0


async def test_content_is_on_the_span_where_it_is_asked_for(telemetry: Telemetry, its_spans: bool) -> None:
    """The result only on ours: the framework's span ends before it is known."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await made().invoke(arguments={"query": "bees"})
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said.get(semconv.TOOL_RESULT) == (None if its_spans else "pages on bees")


async def test_arguments_may_be_a_model(telemetry: Telemetry) -> None:
    """As the framework's own schema makes them."""
    search = made()
    with priced(telemetry, capture_content="SPAN_ONLY", loop_max_repeats=0):
        await search.invoke(arguments=search.input_model(query="bees"))
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


async def test_a_coroutine_runs_within_its_span(telemetry: Telemetry) -> None:
    """What it does itself, its requests, is beneath the call."""

    async def find(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return query

    with priced(telemetry):
        await made(find).invoke(arguments={"query": "a"})
    one_call(telemetry)
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


async def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is the framework's tool as well is one call, at the decorator's price."""

    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        return query

    with priced(telemetry):
        await made(lookup, "lookup").invoke(arguments={"query": "a"})
    assert counted(telemetry) == (1, 0.5)
    assert telemetry.total("agentcost.cost") == 0.5


async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, without a conversation."""
    with priced(telemetry):
        for number in range(4):
            await made().invoke(arguments={"query": "bees"}, tool_call_id=f"call_{number}")
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
    assert len(tool_spans(telemetry)) == 4


async def test_where_its_spans_go_elsewhere_there_is_ours(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has made a global provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
    with priced(telemetry):
        await made().invoke(arguments={"query": "bees"})
    one_call(telemetry)


SERVER = """
try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server

server = Server("pages")

@server.tool()
def search(query: str) -> str:
    return f"pages on {query}"

server.run()
"""


async def test_a_tool_of_an_mcp_server_is_one_call(telemetry: Telemetry, tmp_path: Path) -> None:
    """The framework and the MCP client see the same call."""
    pytest.importorskip("mcp", reason="mcp is not here: `make frameworks`")
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    with priced(telemetry):
        async with af.MCPStdioTool(name="pages", command=sys.executable, args=[str(script)]) as server:
            await server.functions[0].invoke(arguments={"query": "bees"})
    assert counted(telemetry) == (1, 0.25)
    assert telemetry.total("agentcost.cost") == 0.25
