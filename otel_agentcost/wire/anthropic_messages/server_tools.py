"""Tools that Anthropic runs: those that cost nothing besides their tokens, and the names of all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.wire.fields import items, text
from otel_agentcost.wire.provider_tools import in_usage
from otel_agentcost.wire.token_split import Counts

__all__ = ["FREE_TOOLS", "billed_tools", "is_server_tool", "other_counters"]

_TOOLS: Final = "https://docs.anthropic.com/en/docs/agents-and-tools/tool-use"
FREE_TOOLS: Final[Mapping[str, str]] = {
    "web_search": f"{_TOOLS}/web-search-tool: counted in usage.server_tool_use",
    "web_fetch": f"{_TOOLS}/web-fetch-tool: only tokens",
    "tool_search_tool_regex": f"{_TOOLS}/tool-search-tool: only tokens",
    "tool_search_tool_bm25": f"{_TOOLS}/tool-search-tool: only tokens",
    "advisor": f"{_TOOLS}/advisor-tool: counted in usage.iterations",
}
"""Server tools that cost nothing besides what the usage counts, by the name in the block of their call."""

_BLOCKS: Final = frozenset({"server_tool_use", "mcp_tool_use"})
"""Blocks of tool calls: those of MCP servers cost only tokens (Anthropic's page on the MCP connector)."""
_IN_CONTAINER: Final = frozenset({"code_execution", "bash_code_execution", "text_editor_code_execution"})
CONTAINER: Final = "code execution (by the hour of its container)"
"""The name of code execution, which is billed by time. The response does not say how long its container runs."""
_WITH_CONTAINER: Final = ("web_search_2026", "web_fetch_2026")
"""Types of tools with which code execution is free (Anthropic's page on code execution, "Usage and pricing")."""


def billed_tools(call: Call, blocks: Iterable[Any], container: Any) -> list[str]:
    """Return the names of server tools whose price is not known.

    Args:
        call: The request.
        blocks: The content blocks of the message.
        container: The container of the message; None without one.
    """
    names: list[str] = []
    runs = container is not None
    for block in blocks:
        kind = text(block, "type") or ""
        if kind.endswith("_tool_use") and kind not in _BLOCKS:
            names.append(kind)
        elif is_server_tool(block):
            name = text(block, "name") or "server_tool_use"
            runs = runs or name in _IN_CONTAINER
            if name not in FREE_TOOLS and name not in _IN_CONTAINER:
                names.append(name)
    if runs and not any((text(tool, "type") or "").startswith(_WITH_CONTAINER) for tool in items(call.body, "tools")):
        names.append(CONTAINER)
    return names


def is_server_tool(block: Any) -> bool:
    """Return True if a content block is the call of a tool that Anthropic runs."""
    return text(block, "type") == "server_tool_use"


def other_counters(usage: Any, named: Sequence[str]) -> list[str]:
    """Return the names of counters of server tools that the usage of a message does not contain.

    Args:
        usage: The usage of the message.
        named: The names that are known already.
    """
    counts: Counts = {}
    names = in_usage(usage, counts)
    executed = "code_executions" in counts and CONTAINER not in named
    return [*names, CONTAINER] if executed else names
