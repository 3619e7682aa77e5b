"""strands-agents: each kind of tool has a method `stream`, an async generator that yields the result at its end.

It runs inside of the span that Strands makes of a call. A call without such a span, as of `agent.tool.search(...)`,
gets one of this package. A tool of an MCP server is one call, although the client of mcp sees it too.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.patching import Target, argument
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse, as_mapping


def _request(_tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    use = argument(args, kwargs, 0, "tool_use")
    return ToolRequest(use["name"], lambda: as_mapping(use["input"]), use.get("toolUseId"))


def _response(event: Any) -> ToolResponse | None:
    result = getattr(event, "tool_result", None)
    if not isinstance(result, dict):
        return None  # a step on the way to the result
    return ToolResponse(result.get("content"), failed=result.get("status") == "error")  # pyright: ignore[reportUnknownMemberType]


def _patch(module: str, owner: str) -> ToolPatch:
    target = Target(module=module, owner=owner, method="stream", reads=("tool_use",))
    return ToolPatch(target=target, read_request=_request, read_response=_response, streams=True)


FRAMEWORK = Framework(
    name="strands",
    title="Strands Agents",
    distribution="strands-agents",
    oldest="1.30.0",
    patches=(
        _patch("strands.tools.decorator", "DecoratedFunctionTool"),
        _patch("strands.tools.tools", "PythonAgentTool"),
        _patch("strands.tools.mcp.mcp_agent_tool", "MCPAgentTool"),
    ),
)
