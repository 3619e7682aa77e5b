"""openai-agents: one function calls all function tools, tools of MCP servers and agents that are used as tools.

Tools of the provider (web search, file search, code interpreter) run at the provider, and a handoff runs no tool.
Neither counts as a tool call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import (
    FailurePatch,
    Framework,
    Keeps,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
)

_MODULE = "agents.tool"
_FAILURE = "maybe_invoke_function_tool_failure_error_function"


def _method_name(module: Any) -> str:
    """Return the innermost function: since 0.20, some callers use the layer below `invoke_function_tool` directly."""
    inner = "_invoke_function_tool_with_metadata"
    return inner if hasattr(module, inner) else "invoke_function_tool"


def _request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:  # noqa: ARG001
    arguments = kwargs["arguments"]
    call_id = kwargs["context"].tool_call_id
    return ToolRequest(kwargs["function_tool"].name, lambda: _parse_arguments(arguments), call_id)


def _parse_arguments(arguments: str) -> Mapping[str, Any]:
    try:
        return as_mapping(json.loads(arguments or "{}"))
    except ValueError:  # the SDK reports it to the model
        return {"input": arguments}


def _response(result: Any) -> ToolResponse:
    if hasattr(result, "is_sdk_generated_error"):
        return ToolResponse(result.output, result.is_sdk_generated_error)
    return ToolResponse(result)


def _read_failure(kwargs: dict[str, Any], response: Any) -> tuple[str, BaseException] | None:
    """Read the exception that the tool's `failure_error_function` turned into a response; None if it is raised."""
    call_id = getattr(kwargs["context"], "tool_call_id", None)
    return None if response is None or call_id is None else (call_id, kwargs["error"])


def _arguments_invalid(error: BaseException) -> bool:
    """Return True if the SDK rejected the model's arguments and did not call the tool."""
    return type(error).__name__ == "ModelBehaviorError" and str(error).startswith("Invalid JSON input for tool")


def _origin(_: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin | None:
    """Return the tool, and the object that the application passes to its runs.

    Returns:
        None before 0.11, where the response to an exception looks like a result.
    """
    if not hasattr(sys.modules.get(_MODULE), _FAILURE):
        return None
    return Origin((kwargs["function_tool"], getattr(kwargs["context"], "context", None)))


FRAMEWORK = Framework(
    name="openai-agents",
    title="OpenAI Agents SDK",
    distribution="openai-agents",
    oldest="0.9.0",
    patches=(
        ToolPatch(
            target=Target(module=_MODULE, method=_method_name, reads=("*", "function_tool", "context", "arguments")),
            read_request=_request,
            read_response=_response,
            deferred=_arguments_invalid,
            keeps=Keeps(_origin),
            asynchronous=True,
        ),
        FailurePatch(  # since 0.11; in older releases, such a response looks like a result
            target=Target(module=_MODULE, method=_FAILURE, optional=True),
            read_failure=_read_failure,
        ),
    ),
)
