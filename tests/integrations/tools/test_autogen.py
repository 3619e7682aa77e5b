"""AutoGen: tools of an assistant whose model replays its answers, with autogen-core's own spans and without."""

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

core: Any = pytest.importorskip("autogen_core", reason="AutoGen is not here: `make frameworks`")
tools: Any = pytest.importorskip("autogen_core.tools", reason="AutoGen is not here")
models: Any = pytest.importorskip("autogen_core.models", reason="AutoGen is not here")

ITS_SPANS = hasattr(sys.modules["autogen_core.tools._base"], "trace_tool_span")


@pytest.fixture(autouse=True)
def global_provider(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What autogen-core makes spans with is the global provider, which is none of one test's own."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)


def find_pages(query: str) -> str:
    return f"pages on {query}"


def made(function: Any = find_pages, name: str = "search") -> Any:
    return tools.FunctionTool(function, name=name, description="Finds pages.")


async def call(one: Any, query: str = "bees") -> Any:
    return await one.run_json({"query": query}, core.CancellationToken())


def replaying(answer: Any) -> Any:
    """A model that gives one answer: text, or the calls that it wants."""
    replay: Any = pytest.importorskip("autogen_ext.models.replay", reason="autogen-ext is not here")
    usage = models.RequestUsage(prompt_tokens=1, completion_tokens=1)
    reason = "stop" if isinstance(answer, str) else "function_calls"
    model = replay.ReplayChatCompletionClient(
        [models.CreateResult(finish_reason=reason, content=answer, usage=usage, cached=False)]
    )
    family = {"vision": False, "function_calling": True, "json_output": False, "family": "unknown"}
    model._model_info = {**family, "structured_output": False}  # releases before 0.4.3 cannot be told
    return model


async def run_agent(one: Any, arguments: str = '{"query": "bees"}') -> str:
    """An assistant, whose model calls `search` once; what it says at its end."""
    agents: Any = pytest.importorskip("autogen_agentchat.agents", reason="autogen-agentchat is not here")
    asked = [core.FunctionCall(id="call_1", name="search", arguments=arguments)]
    agent = agents.AssistantAgent("assistant", model_client=replaying(asked), tools=[one])
    return str((await agent.run(task="Find pages on bees")).messages[-1].content)


async def test_a_tool_that_an_agent_calls_is_one_span(telemetry: Telemetry) -> None:
    """AutoGen's own, where it makes one, and then with the id of the model's call."""
    with priced(telemetry):
        assert await run_agent(made()) == "pages on bees"
    said = one_call(telemetry)
    assert said.get(semconv.TOOL_CALL_ID) == ("call_1" if ITS_SPANS else None)
    assert semconv.TOOL_ARGUMENTS not in said


async def test_an_error_that_becomes_an_answer_is_an_error(telemetry: Telemetry) -> None:
    """The model reads of it; the span says which it was."""

    def fail(query: str) -> str:
        raise KeyError(query)

    with priced(telemetry):
        assert "bees" in await run_agent(made(fail))
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


async def test_an_exception_passes(telemetry: Telemetry) -> None:
    """It is the application's own."""

    def fail(query: str) -> str:
        raise KeyError(query)

    with priced(telemetry), pytest.raises(KeyError, match="bees"):
        await call(made(fail))
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


async def test_content_is_on_the_span_where_it_is_asked_for(telemetry: Telemetry) -> None:
    """The result only on ours: AutoGen's span ends before it is known."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await call(made())
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said.get(semconv.TOOL_RESULT) == (None if ITS_SPANS else "pages on bees")


async def test_a_coroutine_runs_within_its_span(telemetry: Telemetry) -> None:
    """What it does itself, its requests, is beneath the call."""

    async def find(query: str) -> str:
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return query

    with priced(telemetry):
        await call(made(find))
    one_call(telemetry)
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


async def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is AutoGen's tool as well is one call, at the decorator's price."""

    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        return query

    with priced(telemetry):
        await call(made(lookup, "lookup"))
    one_call(telemetry, tool="lookup", usd=0.5)


async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, without a conversation; each is a span of its own."""
    with priced(telemetry):
        for _ in range(4):
            await call(made())
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
    assert len(tool_spans(telemetry)) == 4


async def test_where_its_spans_go_elsewhere_there_is_ours(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has made a global provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await call(made())
    said = one_call(telemetry)
    assert said[semconv.TOOL_RESULT] == "pages on bees"


async def test_an_agent_that_is_a_tool_is_one_call(telemetry: Telemetry) -> None:
    """It brings what it has to say bit by bit."""
    chat: Any = pytest.importorskip("autogen_agentchat.tools", reason="this AutoGen has no agents that are tools")
    agents: Any = pytest.importorskip("autogen_agentchat.agents", reason="autogen-agentchat is not here")
    inner = agents.AssistantAgent("search", description="Finds pages.", model_client=replaying("pages on bees"))
    with priced(telemetry):
        assert "pages on bees" in await run_agent(chat.AgentTool(inner), '{"task": "bees"}')
    one_call(telemetry)


SERVER = """
from mcp.server.fastmcp import FastMCP

server = FastMCP("pages")

@server.tool()
def search(query: str) -> str:
    return f"pages on {query}"

server.run()
"""


@pytest.mark.parametrize("through", ["adapter", "workbench"])
async def test_a_tool_of_an_mcp_server_is_one_call(telemetry: Telemetry, tmp_path: Path, through: str) -> None:
    """AutoGen and the MCP client see the same call."""
    mcp: Any = pytest.importorskip("autogen_ext.tools.mcp", reason="AutoGen's MCP tools are not here")
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    server = mcp.StdioServerParams(command=sys.executable, args=[str(script)])
    with priced(telemetry, capture_content="SPAN_ONLY"):
        if through == "adapter":
            (search,) = await mcp.mcp_server_tools(server)
            await call(search)
        else:
            async with mcp.McpWorkbench(server) as workbench:
                await workbench.call_tool("search", {"query": "bees"}, call_id="call_1")
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
