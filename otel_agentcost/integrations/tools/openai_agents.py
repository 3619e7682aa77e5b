"""openai-agents: one function calls every function tool, those of MCP servers and agents used as tools among them.

Tools of the provider (web search, file search, code interpreter) do not run here, and a handoff runs nothing: it only
says whose turn it is. Neither is a tool's call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import (
    FailurePatch,
    Framework,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
)

_MODULE = "agents.tool"


def _method_name(module: Any) -> str:
    """Since 0.20, what `invoke_function_tool` called has a layer below, which some callers go to directly."""
    below = "_invoke_function_tool_with_metadata"
    return below if hasattr(module, below) else "invoke_function_tool"


def _request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:  # noqa: ARG001
    given = kwargs["arguments"]
    return ToolRequest(kwargs["function_tool"].name, lambda: _arguments(given), kwargs["context"].tool_call_id)


def _arguments(written: str) -> Mapping[str, Any]:
    try:
        return as_mapping(json.loads(written or "{}"))
    except ValueError:  # the model is told
        return {"input": written}


def _response(result: Any) -> ToolResponse:
    if hasattr(result, "is_sdk_generated_error"):
        return ToolResponse(result.output, result.is_sdk_generated_error)
    return ToolResponse(result)


def _read_failure(kwargs: dict[str, Any], answer: Any) -> tuple[str, BaseException] | None:
    """The tool's `failure_error_function` has made an answer of its exception; without one, that is raised."""
    call_id = getattr(kwargs["context"], "tool_call_id", None)
    return None if answer is None or call_id is None else (call_id, kwargs["error"])


def _arguments_invalid(error: BaseException) -> bool:
    """Whether the model's arguments did not fit, so that the tool was not called with them."""
    return type(error).__name__ == "ModelBehaviorError" and str(error).startswith("Invalid JSON input for tool")


FRAMEWORK = Framework(
    name="openai-agents",
    title="OpenAI Agents SDK",
    distribution="openai-agents",
    oldest="0.9.0",
    patches=(
        ToolPatch(
            target=Target(module=_MODULE, method=_method_name),
            read_request=_request,
            read_response=_response,
            deferred=_arguments_invalid,
            asynchronous=True,
        ),
        FailurePatch(  # since 0.11; before, such an answer cannot be told from a result
            target=Target(module=_MODULE, method="maybe_invoke_function_tool_failure_error_function", optional=True),
            read_failure=_read_failure,
        ),
    ),
)
