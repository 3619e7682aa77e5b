"""crewai: agents whose model calls functions, agents whose model only writes what it wants, and tools by hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

# Before it is imported: it would send what it sees to its makers, and ask the user at the terminal.
os.environ.update({"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_DISABLE_TRACKING": "true", "CREWAI_TESTING": "true"})

crewai: Any = pytest.importorskip("crewai", reason="crewai is not here: `make frameworks`")
tools: Any = pytest.importorskip("crewai.tools", reason="crewai is not here")

strings: Any = pytest.importorskip("crewai.utilities", reason="crewai is not here")
SANITIZED = hasattr(getattr(strings, "string_utils", None), "sanitize_tool_name")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What crewai remembers, it remembers for one test."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def made(function: Any = None, name: str = "search") -> Any:
    def find_pages(query: str) -> str:
        """Finds pages."""
        return f"pages on {query}"

    return tools.tool(name)(function or find_pages)


def fail(query: str) -> str:
    """Finds nothing."""
    raise KeyError(query)


class Search(tools.BaseTool):  # type: ignore[misc]
    """A tool as a class."""

    name: str = "search"
    description: str = "Finds pages."

    def _run(self, query: str) -> str:
        return f"pages on {query}"


WRITTEN = 'Thought: I need pages\nAction: search\nAction Input: {"query": "bees"}'
CALLED = [{"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "bees"}'}}]


def run_agent(one: Any, *, calls_functions: bool) -> str:
    """A crew of one, whose model wants `search` once and then answers."""
    if not hasattr(crewai, "BaseLLM"):
        pytest.skip("this crewai has no models of one's own")

    utilities: Any = pytest.importorskip("crewai.utilities.agent_utils", reason="crewai is not here")
    if calls_functions and not hasattr(utilities, "convert_tools_to_openai_schema"):
        pytest.skip("this crewai has no models that call functions")
    answers = iter([CALLED if calls_functions else WRITTEN])

    class Model(crewai.BaseLLM):  # type: ignore[misc]
        def call(self, *_: Any, **__: Any) -> Any:
            return next(answers, "Thought: I now know the final answer\nFinal Answer: done")

        def supports_function_calling(self) -> bool:
            return calls_functions

    agent = crewai.Agent(
        role="Reader", goal="Read", backstory="Reads.", llm=Model(model="none"), tools=[one], max_iter=3
    )
    task = crewai.Task(description="Find pages on bees", expected_output="Pages", agent=agent)
    return str(crewai.Crew(agents=[agent], tasks=[task]).kickoff())


@pytest.mark.parametrize("calls_functions", [True, False], ids=["called", "written"])
def test_a_tool_that_an_agent_wants_is_one_span(telemetry: Telemetry, calls_functions: bool) -> None:
    """By either way on which crewai runs one."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        assert "done" in run_agent(made(), calls_functions=calls_functions)
    said = one_call(telemetry)
    assert said.get(semconv.TOOL_CALL_ID) == ("call_1" if calls_functions else None)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'
    assert said[semconv.TOOL_RESULT] == "pages on bees"


@pytest.mark.parametrize("calls_functions", [True, False], ids=["called", "written"])
def test_an_error_that_becomes_an_answer_is_an_error(telemetry: Telemetry, calls_functions: bool) -> None:
    """However often crewai tries again, each time is a call."""
    with priced(telemetry):
        run_agent(made(fail), calls_functions=calls_functions)
    spans = tool_spans(telemetry)
    assert spans
    assert all((span.attributes or {}).get(semconv.ERROR_TYPE) == "KeyError" for span in spans)
    assert counted(telemetry) == (len(spans), 0.25 * len(spans))


def test_a_call_by_hand_is_one_span(telemetry: Telemetry) -> None:
    """Of a function or of a class; content only where it is asked for."""
    with priced(telemetry):
        assert Search().run(query="bees") == "pages on bees"
    assert semconv.TOOL_ARGUMENTS not in one_call(telemetry)


def test_arguments_have_their_names(telemetry: Telemetry) -> None:
    """Without one that they were given by."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        made().run("bees")
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


def test_a_structured_tool_is_one_call(telemetry: Telemetry) -> None:
    """What else the agent is given is no argument."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        Search().to_structured_tool().invoke({"query": "bees", "security_context": {"agent": "a"}})
    assert one_call(telemetry)[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


async def test_so_is_one_that_is_called_asynchronously(telemetry: Telemetry) -> None:
    """A function that is not async runs in a thread, where its requests are beneath the call all the same."""
    structured = made(that_asks(telemetry)).to_structured_tool()
    if not hasattr(structured, "ainvoke"):
        pytest.skip("this crewai has nothing async")
    with priced(telemetry):
        await structured.ainvoke({"query": "bees"})
    one_call(telemetry)
    (span,) = tool_spans(telemetry)
    parent, context = telemetry.span("http").parent, span.get_span_context()
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


def that_asks(telemetry: Telemetry) -> Any:
    def find(query: str) -> str:
        """Finds pages."""
        with telemetry.tracer_provider.get_tracer("t").start_as_current_span("http"):
            return query

    return find


async def test_a_coroutine_is_one_call(telemetry: Telemetry) -> None:
    """With `arun`, where crewai has that."""

    async def find(query: str) -> str:
        """Finds pages."""
        return query

    search = made(find)
    if not hasattr(search, "arun"):
        pytest.skip("this crewai has nothing async")
    with priced(telemetry):
        assert await search.arun(query="a") == "a"
    one_call(telemetry)


def test_an_exception_passes(telemetry: Telemetry) -> None:
    """It is the application's own."""
    with priced(telemetry), pytest.raises(KeyError, match="bees"):
        made(fail).run(query="bees")
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


def test_a_tool_that_was_used_often_enough_costs_no_more(telemetry: Telemetry) -> None:
    """crewai refuses it: it does not run."""
    search = made()
    if not hasattr(search, "max_usage_count"):
        pytest.skip("this crewai knows no such limit")
    search.max_usage_count = 1
    with priced(telemetry):
        search.run(query="bees")
        search.run(query="ants")
    one_call(telemetry)


def test_a_name_is_what_the_model_knows_it_by(telemetry: Telemetry) -> None:
    """Newer releases put it in small letters, with underscores."""
    with priced(telemetry):
        made(name="Search").run(query="bees")
    (span,) = tool_spans(telemetry)
    assert (span.attributes or {})[semconv.TOOL] == ("search" if SANITIZED else "Search")


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry) -> None:
    """A decorated function that is crewai's tool as well is one call, at the decorator's price."""

    @tool(usd="0.5", name="lookup")
    def lookup(query: str) -> str:
        """Looks up."""
        return query

    with priced(telemetry):
        made(lookup, "lookup").run(query="a")
    one_call(telemetry, tool="lookup", usd=0.5)


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry) -> None:
    """Seen from the tools alone, without a conversation."""
    with priced(telemetry):
        for _ in range(4):
            made().run(query="bees")
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


SERVER = """
from mcp.server.fastmcp import FastMCP

server = FastMCP("pages")

@server.tool(name="findPages-all")
def search(query: str) -> str:
    if query == "fail":
        raise ValueError("no such page")
    return f"pages on {query}"

server.run()
"""


@pytest.mark.parametrize("query", ["bees", "fail"])
async def test_a_tool_of_an_mcp_server_is_one_call(telemetry: Telemetry, tmp_path: Path, query: str) -> None:
    """crewai and the MCP client see the same call, by other names; an error comes as an answer."""
    native: Any = pytest.importorskip("crewai.tools.mcp_native_tool", reason="this crewai has no MCP tools")
    client: Any = pytest.importorskip("crewai.mcp.client", reason="this crewai has no MCP tools")
    transport: Any = pytest.importorskip("crewai.mcp.transports.stdio", reason="this crewai has no MCP tools")
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")

    def connected() -> Any:
        return client.MCPClient(transport.StdioTransport(command=sys.executable, args=[str(script)]))

    search = native.MCPNativeTool(connected, "findPages-all", {"description": "Finds pages."}, "pages")
    with priced(telemetry):
        search.run(query=query)
    (span,) = tool_spans(telemetry)
    said = span.attributes or {}
    assert said[semconv.TOOL] == "pages_find_pages_all"
    assert said.get(semconv.ERROR_TYPE) == ("tool_error" if query == "fail" else None)
    assert counted(telemetry)[0] == 1
