"""anthropic: what the SDK's tool runner calls, with the span that the SDK makes of a call and without."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded, tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply
from tests.support.replies import message

anthropic: Any = pytest.importorskip("anthropic", reason="anthropic is not here: `make frameworks`")
tools: Any = pytest.importorskip("anthropic.lib.tools", reason="this release of anthropic has no tools")

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


def calls(*queries: str, name: str = "search", turn: str = "") -> Reply:
    """An answer of the model that calls a tool, once for each of `queries`, in parallel."""
    blocks: list[Any] = [
        {"type": "tool_use", "id": f"toolu_{query}{turn}", "name": name, "input": {"query": query}} for query in queries
    ]
    return json_reply(message(id=f"msg_{turn}", content=blocks, stop_reason="tool_use"))


CALL, DONE = calls("bees"), json_reply(message())


def find(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


async def find_async(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


def fail(query: str) -> str:
    """Finds pages."""
    raise KeyError(query)


search = anthropic.beta_tool(find, name="search")
ASK: dict[str, Any] = {
    "model": "claude-opus-4-6",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "?"}],
}
TRACES = "open_telemetry" in inspect.signature(anthropic.Anthropic).parameters
traces_itself = pytest.mark.skipif(not TRACES, reason="this release of anthropic makes no spans")


def made(kind: str, server: ModelServer, telemetry: Telemetry | None) -> Any:
    """A client; with `telemetry`, the SDK's own spans go there, else it makes none."""
    more: dict[str, Any] = {}
    if TRACES:
        more["open_telemetry"] = {"tracer_provider": telemetry.tracer_provider} if telemetry else False
    return getattr(anthropic, kind)(base_url=server.url, api_key="none", max_retries=0, **more)


def run(server: ModelServer, *replies: Reply, using: Any = search, native: Telemetry | None = None) -> None:
    """One question, and whatever the tool runner makes of it."""
    server.replies(*(replies or (CALL, DONE)))
    with made("Anthropic", server, native) as client:
        client.beta.messages.tool_runner(**ASK, tools=[using]).until_done()


async def run_async(server: ModelServer, *replies: Reply, using: Any, native: Telemetry | None = None) -> None:
    """The same of an asynchronous client."""
    server.replies(*(replies or (CALL, DONE)))
    async with made("AsyncAnthropic", server, native) as client:
        await client.beta.messages.tool_runner(**ASK, tools=[using]).until_done()


def test_a_tool_that_the_model_called_is_one_span(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Content only where it is asked for."""
    with priced(telemetry):
        run(model_server)
    assert semconv.TOOL_ARGUMENTS not in one_call(telemetry)
    assert "pages on bees" in model_server.requests[1].body.decode()


async def test_so_is_one_of_an_asynchronous_client(telemetry: Telemetry, model_server: ModelServer) -> None:
    """With its content, which is asked for."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await run_async(model_server, using=anthropic.beta_async_tool(find_async, name="search"))
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"


@traces_itself
@pytest.mark.parametrize("content", ["NO_CONTENT", "SPAN_ONLY"])
def test_the_span_that_the_sdk_makes_is_the_calls(
    content: str, telemetry: Telemetry, model_server: ModelServer
) -> None:
    """One span, the SDK's, with what we know on it."""
    with priced(telemetry, capture_content=content):
        run(model_server, native=telemetry)
    said = one_call(telemetry)
    (span,) = tool_spans(telemetry)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name.startswith("com.anthropic")
    assert said[semconv.TOOL_CALL_ID] == "toolu_bees"
    assert said.get(semconv.TOOL_RESULT) == ("pages on bees" if content == "SPAN_ONLY" else None)


@traces_itself
def test_a_price_of_the_function_itself_is_on_the_sdks_span(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A decorator knows better than the prices by name, whoever makes the span."""
    dear = anthropic.beta_tool(tool(usd="0.5", name="search")(find), name="search")
    with priced(telemetry):
        run(model_server, using=dear, native=telemetry)
    one_call(telemetry, usd=0.5)


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A decorated function is one call, at the decorator's price."""
    dear = anthropic.beta_tool(tool(usd="0.5", name="search")(find), name="search")
    with priced(telemetry):
        run(model_server, using=dear)
    one_call(telemetry, usd=0.5)


def test_calls_of_one_answer_are_a_span_each(telemetry: Telemetry, model_server: ModelServer) -> None:
    """In the order in which the runner makes them."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        run(model_server, calls("bees", "ants", "wasps"), DONE)
    results = [(span.attributes or {})[semconv.TOOL_RESULT] for span in tool_spans(telemetry)]
    assert results == ["pages on bees", "pages on ants", "pages on wasps"]
    assert counted(telemetry) == (3, 0.75)


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=traces_itself)])
def test_an_error_that_the_model_is_told_of_is_an_error(
    native: bool, telemetry: Telemetry, model_server: ModelServer
) -> None:
    """The runner makes an answer of what was raised; the call has failed all the same."""
    with priced(telemetry):
        run(model_server, using=anthropic.beta_tool(fail, name="search"), native=telemetry if native else None)
    assert one_call(telemetry)[semconv.ERROR_TYPE] in ("tool_error", "KeyError")
    (span,) = tool_spans(telemetry)
    assert span.status.status_code.name == "ERROR"


def test_a_tool_that_is_called_by_hand_is_a_call_too(telemetry: Telemetry) -> None:
    """In a loop of the application's own, whose exceptions pass."""
    with priced(telemetry):
        assert search.call({"query": "bees"}) == "pages on bees"
    one_call(telemetry)
    with priced(telemetry), pytest.raises(KeyError):
        anthropic.beta_tool(fail, name="search").call({"query": "bees"})
    assert [(span.attributes or {}).get(semconv.ERROR_TYPE) for span in tool_spans(telemetry)] == [None, "KeyError"]


def test_texts_that_a_tool_brings_in_blocks_are_its_result(telemetry: Telemetry) -> None:
    """As they are written for the model."""

    def blocks(query: str) -> Any:
        """Finds pages."""
        return [{"type": "text", "text": query}, {"type": "text", "text": "ants"}]

    with priced(telemetry, capture_content="SPAN_ONLY"):
        anthropic.beta_tool(blocks, name="search").call({"query": "bees"})
    assert one_call(telemetry)[semconv.TOOL_RESULT] == "bees\nants"


@contextmanager
def memory() -> Generator[Any]:
    """The SDK's own abstract tool, as an application fills it in."""
    if not hasattr(tools, "BetaAbstractMemoryTool"):
        pytest.skip("this release of anthropic has no memory tool")

    class Memory(tools.BetaAbstractMemoryTool):  # type: ignore[misc]  # it may not be there
        def view(self, command: Any) -> str:
            return f"nothing at {command.path}"

        create = str_replace = insert = delete = rename = view

    yield Memory()


def test_tools_that_are_no_functions_are_tools(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The SDK's memory, and whatever is derived from its base class."""
    viewed: list[Any] = [
        {"type": "tool_use", "id": "toolu_1", "name": "memory", "input": {"command": "view", "path": "/memories"}}
    ]
    called = json_reply(message(content=viewed, stop_reason="tool_use"))
    with priced(telemetry, capture_content="SPAN_ONLY"), memory() as store:
        run(model_server, called, DONE, using=store)
    assert one_call(telemetry, tool="memory", usd=None)[semconv.TOOL_RESULT] == "nothing at /memories"


def test_a_class_of_the_applications_own_is_a_tool(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Where the runner has a step of its own for a call."""
    from anthropic.lib.tools import _beta_runner

    if not hasattr(_beta_runner.BaseSyncToolRunner, "_run_tool"):
        pytest.skip("this release of anthropic calls such tools straight away")

    class Bash(tools.BetaBuiltinFunctionTool):  # type: ignore[misc]  # it may not be there
        def to_dict(self) -> Any:
            return {"type": "bash_20250124", "name": "bash"}

        def call(self, input: object) -> str:  # noqa: A002 (the name that the SDK gives it)
            return str(input)

    with priced(telemetry):
        run(model_server, calls("ls", name="bash"), DONE, using=Bash())
    assert one_call(telemetry, tool="bash", usd=None)[semconv.TOOL_CALL_ID] == "toolu_ls"


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Seen in the conversation, of which newer releases send only what is new, or from the calls alone."""
    with priced(telemetry):
        run(model_server, *(calls("bees", turn=str(turn)) for turn in range(4)), DONE)
    found = [event for span in telemetry.spans for event in span.events if event.name == semconv.E_LOOP]
    assert [(event.attributes or {})[semconv.LOOP_RULE] for event in found] == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
    with priced(telemetry):
        for _ in range(4):
            search.call({"query": "bees"})
        assert repeats() == ["repeat"]


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=traces_itself)])
def test_calls_count_in_budgets(native: bool, telemetry: Telemetry, model_server: ModelServer) -> None:
    """The model is not asked again once the calls are used up; the tools themselves are never stopped."""
    asked = [calls("bees", turn=str(turn)) for turn in range(4)]
    with priced(telemetry, trace_max_tool_calls=2), pytest.raises(BudgetExceeded):
        run(model_server, *asked, DONE, native=telemetry if native else None)
    assert counted(telemetry) == (3, 0.75)


async def test_a_tool_of_an_mcp_server_is_one_call(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """The SDK's helper makes a function tool of it, which calls it through mcp: both see one call."""
    mcp: Any = pytest.importorskip("mcp", reason="mcp is not here: `make frameworks`")
    stdio: Any = pytest.importorskip("mcp.client.stdio", reason="mcp is not here: `make frameworks`")
    helper: Any = pytest.importorskip("anthropic.lib.tools.mcp", reason="this release of anthropic has no MCP helper")
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(script)])
    with priced(telemetry):
        async with stdio.stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as session:
            await session.initialize()
            (listed,) = (await session.list_tools()).tools
            await run_async(model_server, using=helper.async_mcp_tool(listed, session))
    one_call(telemetry)
    assert "pages on bees" in model_server.requests[1].body.decode()
