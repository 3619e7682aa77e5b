"""pydantic-ai: an agent calls all of its tools through one `CombinedToolset`.

At that point the arguments are valid, and the framework's span is open, if it is configured to make spans. In nested
toolsets, each level is measured with the id of the model's call: they count as one call.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import (
    Framework,
    Keeps,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
)

_DEFERRED = ("ApprovalRequired", "CallDeferred")
"""The exceptions of a tool that did not run: it needs approval first, or other code runs it later."""


def _request(toolset: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:  # noqa: ARG001
    tool = optional_argument(args, kwargs, 3, "tool")
    if tool.tool_def.kind == "output":
        return None  # a pseudo tool by which the model returns its result
    arguments = optional_argument(args, kwargs, 1, "tool_args")
    context = optional_argument(args, kwargs, 2, "ctx")
    return ToolRequest(optional_argument(args, kwargs, 0, "name"), lambda: as_mapping(arguments), context.tool_call_id)


def _response(result: Any) -> ToolResponse:
    """Read the result. Of a `ToolReturn`, only the value that the model gets counts."""
    return ToolResponse(getattr(result, "return_value", result))


def _deferred(error: BaseException) -> bool:
    return type(error).__name__ in _DEFERRED


def _origin(_toolset: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin:
    """Return the tool's function and the dependencies that it gets; of other tools, their toolset and these."""
    tool: Any = optional_argument(args, kwargs, 3, "tool")
    context = optional_argument(args, kwargs, 2, "ctx")
    source = getattr(tool, "source_tool", tool)
    schema: Any = getattr(getattr(source, "call_func", None), "__self__", None)
    if hasattr(schema, "function") and hasattr(schema, "takes_ctx"):
        return Origin((schema.function, context.deps if schema.takes_ctx else None))
    return Origin((getattr(tool, "source_toolset", tool.toolset), context.deps))


FRAMEWORK = Framework(
    name="pydantic-ai",
    title="Pydantic AI",
    distribution="pydantic-ai-slim",
    oldest="0.5.0",
    patches=(
        ToolPatch(
            target=Target(
                module="pydantic_ai.toolsets.combined",
                owner="CombinedToolset",
                method="call_tool",
                reads=("name", "tool_args", "ctx", "tool"),
            ),
            read_request=_request,
            read_response=_response,
            deferred=_deferred,
            keeps=Keeps(_origin),
            asynchronous=True,
        ),
    ),
)
