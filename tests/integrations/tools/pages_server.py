"""An MCP server with one tool, `search`, on its standard input and output: what the tests of MCP's clients start."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def make() -> Any:
    """With the class that the installed release of mcp has."""
    try:
        return import_module("mcp.server.mcpserver").MCPServer("pages")
    except ImportError:
        return import_module("mcp.server.fastmcp").FastMCP("pages")


def search(query: str) -> str:
    """Finds pages."""
    if query == "fail":
        raise ValueError("no such page")
    return f"pages on {query}"


if __name__ == "__main__":
    server = make()
    server.tool()(search)
    server.run()
