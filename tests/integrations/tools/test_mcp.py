"""MCP: a real client and a real server, over the memory and over a pipe to another process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import tool_call
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, repeats, tool_spans
from tests.support.in_memory import Telemetry

mcp: Any = pytest.importorskip("mcp", reason="mcp is not here: `make frameworks`")
stdio: Any = pytest.importorskip("mcp.client.stdio", reason="mcp is not here: `make frameworks`")

SERVER = """
try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server

server = Server("pages")

@server.tool()
def search(query: str) -> str:
    if query == "fail":
        raise ValueError("no such page")
    return f"pages on {query}"

server.run()
"""


@pytest.fixture(autouse=True)
def spans_of_mcp(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What mcp makes spans with is the global provider, which is none of one test's own."""
    with suppress(ImportError):  # before release 2 it makes none
        otel = importlib.import_module("mcp.shared._otel")
        monkeypatch.setattr(otel, "_tracer", telemetry.tracer_provider.get_tracer("mcp-python-sdk"))


@asynccontextmanager
async def session(folder: Path) -> AsyncGenerator[Any]:
    """Connected to a server in another process."""
    script = folder / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(script)])
    async with stdio.stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as client:
        await client.initialize()
        yield client


async def test_a_call_is_one_span_whoever_makes_it(telemetry: Telemetry, tmp_path: Path) -> None:
    """mcp's own from release 2 on, and ours before."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        async with session(tmp_path) as client:
            result = await client.call_tool("search", {"query": "bees"})
    assert result.content[0].text == "pages on bees"
    said = one_call(telemetry)
    assert said[semconv.TOOL_ARGUMENTS] == '{"query": "bees"}'


async def test_an_error_of_the_server_is_one(telemetry: Telemetry, tmp_path: Path) -> None:
    """It comes as an answer."""
    with priced(telemetry):
        async with session(tmp_path) as client:
            await client.call_tool("search", {"query": "fail"})
    one_call(telemetry)


async def test_within_a_frameworks_call_it_is_that_call(telemetry: Telemetry, tmp_path: Path) -> None:
    """Framework, client and server see one call of a tool: one is counted."""
    with priced(telemetry):
        async with session(tmp_path) as client:
            with tool_call("search", arguments={"query": "bees"}):
                await client.call_tool("search", {"query": "bees"})
    one_call(telemetry)


async def test_a_name_with_the_servers_before_it_is_the_same_tool(telemetry: Telemetry, tmp_path: Path) -> None:
    """Frameworks tell the tools of several servers apart so."""
    with priced(telemetry):
        async with session(tmp_path) as client:
            with tool_call("pages_search", usd="0.5"):
                await client.call_tool("search", {"query": "bees"})
    one_call(telemetry, tool="pages_search", usd=0.5)


async def test_the_price_of_the_bare_name_counts_then(telemetry: Telemetry, tmp_path: Path) -> None:
    """`OTEL_AGENTCOST_TOOL_PRICES=search=0.25` means the server's tool, whatever a framework puts before its name."""
    with priced(telemetry):
        async with session(tmp_path) as client:
            with tool_call("pages_search"):
                await client.call_tool("search", {"query": "bees"})
    one_call(telemetry, tool="pages_search")


async def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry, tmp_path: Path) -> None:
    """Seen from the calls alone, without a conversation; each is a span of its own."""
    with priced(telemetry):
        async with session(tmp_path) as client:
            for _ in range(4):
                await client.call_tool("search", {"query": "bees"})
        assert repeats() == ["repeat"]
    assert counted(telemetry) == (4, 1.0)
    assert len(tool_spans(telemetry)) == 4


async def test_a_trace_that_is_not_recorded_is_counted_all_the_same(tmp_path: Path) -> None:
    """Sampled away: no span of mcp's can be taken for ours."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    off = Telemetry(sampler=ALWAYS_OFF)
    with priced(off):
        async with session(tmp_path) as client:
            await client.call_tool("search", {"query": "bees"})
    assert off.spans == ()
    assert off.total("agentcost.cost") == 0.25
    off.shutdown()


async def test_where_nobody_makes_a_span_of_it_we_do(
    telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mcp's spans may go elsewhere, or nowhere."""
    monkeypatch.undo()
    with priced(telemetry):
        async with session(tmp_path) as client:
            await client.call_tool("search", {"query": "bees"})
    one_call(telemetry)
    span = telemetry.span("execute_tool search")
    assert (span.end_time or 0) > (span.start_time or 0)
