"""mcp: a client calls the tools of a server with `ClientSession.call_tool`.

mcp 2 and later makes spans of its requests; the span of a tool call then gets the attributes of the call. A framework
may call the same tool through mcp: both count as one call.
"""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakKeyDictionary

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import (
    Framework,
    Keeps,
    ListPatch,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
)


def _request(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:  # noqa: ARG001
    if kwargs.get("input_responses") is not None:
        return None  # a reply within a call that is measured already
    arguments = optional_argument(args, kwargs, 1, "arguments")
    create_span = "mcp.shared._otel" not in sys.modules
    return ToolRequest(
        optional_argument(args, kwargs, 0, "name"), lambda: as_mapping(arguments), create_span=create_span
    )


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
    """Return the attribute `name` of mcp 2, or else `before` of mcp 1. mcp 2 may warn if `before` is read."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, before, None)


_hints: WeakKeyDictionary[Any, dict[str, tuple[bool, bool]]] = WeakKeyDictionary()
"""By session and tool: whether the server says that the tool only reads, and that it may destroy something."""


def _read_list(session: Any, listed: Any) -> None:
    hints = _hints.setdefault(session, {})
    for tool in listed.tools:
        said = tool.annotations
        reads = said is not None and _either(said, "read_only_hint", "readOnlyHint") is True
        destroys = said is not None and _either(said, "destructive_hint", "destructiveHint") is True
        hints[tool.name] = (reads, destroys and not reads)


def _origin(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin | None:
    """Return the session, which has an authorization of its own, and its server.

    Returns:
        None if the call has metadata, which may say anything about the caller.
    """
    if kwargs.get("meta"):
        return None
    reads, destroys = _hints.get(session, {}).get(optional_argument(args, kwargs, 0, "name"), (False, False))
    server = getattr(session, "server_info", None)  # since mcp 2
    if server is None:
        return Origin((session,), destroys=destroys)
    return Origin((session,), server.name, server.version, reads, destroys)


def _fits(result: Any) -> bool:
    """Return False for a request of the server for more input, and for results of extensions."""
    return type(result).__name__ == "CallToolResult"


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
            keeps=Keeps(_origin, fits=_fits),
            asynchronous=True,
        ),
        ListPatch(
            target=Target(module="mcp.client.session", owner="ClientSession", method="list_tools", optional=True),
            read_list=_read_list,
        ),
    ),
)
