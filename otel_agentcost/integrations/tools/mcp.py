"""mcp: a client calls the tools of a server with `ClientSession.call_tool`.

Since its release 2, mcp makes spans of its requests by itself; the one of a tool's call becomes ours then. What was
seen as a call of a framework already (whose tools may be an MCP server's) stays that one call.
"""

from __future__ import annotations

import sys
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import (
    Framework,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    argument,
    as_mapping,
)


def _request(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:  # noqa: ARG001
    if kwargs.get("input_responses") is not None:
        return None  # what the server asked for in the middle of a call that has been seen
    given = argument(args, kwargs, 1, "arguments")
    own_span = "mcp.shared._otel" not in sys.modules
    return ToolRequest(argument(args, kwargs, 0, "name"), lambda: as_mapping(given), create_span=own_span)


def _response(result: Any) -> ToolResponse:
    failed = bool(_either(result, "is_error", "isError"))
    structured = _either(result, "structured_content", "structuredContent")
    content = getattr(result, "content", None)
    if structured is None and isinstance(content, list):
        texts = [getattr(part, "text", None) for part in content]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if all(isinstance(text, str) for text in texts):
            return ToolResponse("\n".join(map(str, texts)), failed)
    return ToolResponse(structured if structured is not None else content, failed)


def _either(result: Any, name: str, before: str) -> Any:
    """By its name since release 2, of which some warn who asks for the one `before`."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, before, None)


FRAMEWORK = Framework(
    name="mcp",
    title="MCP clients",
    distribution="mcp",
    oldest="1.10",
    patches=(
        ToolPatch(
            target=Target(module="mcp.client.session", owner="ClientSession", method="call_tool"),
            read_request=_request,
            read_response=_response,
            asynchronous=True,
        ),
    ),
)
