"""Tools of MCP servers: `auto` for those that a trusted server says only read; never those that may destroy."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import Settings, attribute
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import tool_spans
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

mcp: Any = pytest.importorskip("mcp", reason="mcp is not here: `make frameworks`")
stdio: Any = pytest.importorskip("mcp.client.stdio", reason="mcp is not here: `make frameworks`")

SERVER = """
try:
    from mcp.server.mcpserver import MCPServer as Server
    from mcp.types import ToolAnnotations
    hints = lambda reads, destroys: ToolAnnotations(read_only_hint=reads, destructive_hint=destroys)
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server
    from mcp.types import ToolAnnotations
    hints = lambda reads, destroys: ToolAnnotations(readOnlyHint=reads, destructiveHint=destroys)

server = Server("pages")
calls = {}

def count(name):
    calls[name] = calls.get(name, 0) + 1
    return f"{name} {calls[name]}"

@server.tool(annotations=hints(True, None))
def read(query: str) -> str:
    if query == "fail":
        raise ValueError(count("fail"))
    return count("read")

@server.tool(annotations=hints(False, True))
def delete(query: str) -> str:
    return count("delete")

@server.tool()
def other(query: str) -> str:
    return count("other")

server.run()
"""


@asynccontextmanager
async def session(folder: Path) -> AsyncGenerator[Any]:
    """Connected to a server in another process, whose tools are listed."""
    script = folder / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(script)])
    async with stdio.stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as client:
        await client.initialize()
        await client.list_tools()
        yield client


async def asked(client: Any) -> dict[str, list[str]]:
    """What each tool answers, asked twice."""
    found: dict[str, list[str]] = {}
    for name in ("read", "delete", "other"):
        results = [await client.call_tool(name, {"query": "bees"}) for _ in range(2)]
        assert type(results[0]) is type(results[1])
        found[name] = [result.content[0].text for result in results]
    return found


ONCE = {"read": ["read 1", "read 1"], "delete": ["delete 1", "delete 2"], "other": ["other 1", "other 2"]}
NEVER = {name: [f"{name} 1", f"{name} 2"] for name in ONCE}


@pytest.mark.parametrize(
    ("rules", "servers", "expected"),
    [
        ("auto", ("pages",), ONCE),
        ("auto", ("others",), NEVER),
        ("auto", (), NEVER),
        ("auto,read=off", ("pages",), NEVER),
        ("*=10m", (), {**ONCE, "other": ["other 1", "other 1"]}),
        ("delete=10m", (), NEVER),
    ],
)
async def test_the_word_of_a_server(
    rules: str, servers: tuple[str, ...], expected: dict[str, list[str]], telemetry: Telemetry, tmp_path: Path
) -> None:
    """`auto` believes the servers of the setting alone; a tool that may destroy something is always called."""
    if rules.startswith("auto") and not hasattr(mcp.ClientSession, "server_info"):
        pytest.skip("before mcp 2 a session does not have the server's name")
    settings = Settings(tool_cache=rules, tool_cache_servers=servers)
    with instrumented(telemetry, settings=settings), attribute(tenant="acme"):
        async with session(tmp_path) as client:
            assert await asked(client) == expected


async def test_errors_are_not_kept_and_sessions_do_not_share(telemetry: Telemetry, tmp_path: Path) -> None:
    """An error of the server is asked for again, and another session, of perhaps another user, has its own results."""
    with instrumented(telemetry, settings=Settings(tool_cache="read=10m")), attribute(tenant="acme"):
        async with session(tmp_path) as client:
            for _ in range(2):
                await client.call_tool("read", {"query": "fail"})
            await client.call_tool("read", {"query": "bees"})
            assert all(semconv.CACHE not in (span.attributes or {}) for span in tool_spans(telemetry))
        async with session(tmp_path) as client:
            if "meta" in inspect.signature(mcp.ClientSession.call_tool).parameters:  # not in the oldest releases
                await client.call_tool("read", {"query": "bees"}, meta={"user": "x"})
            await client.call_tool("read", {"query": "bees"})
            assert all(semconv.CACHE not in (span.attributes or {}) for span in tool_spans(telemetry))
            await client.call_tool("read", {"query": "bees"})
    assert sum(semconv.CACHE in (span.attributes or {}) for span in tool_spans(telemetry)) == 1
