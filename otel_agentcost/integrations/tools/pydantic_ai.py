"""pydantic-ai: an agent has one `CombinedToolset` round all of its tools, and calls them through that.

Its arguments have passed validation there, and its own span, where it is told to make one, is open round it already.
A toolset of toolsets is seen once a level, with the id of the model's call each time, which makes it one.
"""

from __future__ import annotations

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

_DEFERRED = ("ApprovalRequired", "CallDeferred")
"""What a tool raises that was not run: it is to be approved first, or somebody else runs it later."""


def _request(toolset: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:  # noqa: ARG001
    tool = argument(args, kwargs, 3, "tool")
    if tool.tool_def.kind == "output":
        return None  # how the model hands in its result
    given = argument(args, kwargs, 1, "tool_args")
    context = argument(args, kwargs, 2, "ctx")
    return ToolRequest(argument(args, kwargs, 0, "name"), lambda: as_mapping(given), context.tool_call_id)


def _response(result: Any) -> ToolResponse:
    """What the model sees, where the tool has returned more than that (`ToolReturn`)."""
    return ToolResponse(getattr(result, "return_value", result))


def _deferred(error: BaseException) -> bool:
    return type(error).__name__ in _DEFERRED


FRAMEWORK = Framework(
    name="pydantic-ai",
    title="Pydantic AI",
    distribution="pydantic-ai-slim",
    oldest="0.5.0",
    patches=(
        ToolPatch(
            target=Target(module="pydantic_ai.toolsets.combined", owner="CombinedToolset", method="call_tool"),
            read_request=_request,
            read_response=_response,
            deferred=_deferred,
            asynchronous=True,
        ),
    ),
)
