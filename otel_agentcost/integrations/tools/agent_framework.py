"""agent-framework, the successor of AutoGen: `FunctionTool.invoke` calls an agent's functions and tools of MCP servers.

agent-framework makes spans of the calls unless the application disables them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:  # noqa: ARG001 (the method has no positional arguments)
    if tool.declaration_only:
        return None  # the application runs it, not the framework
    call_id = kwargs.get("tool_call_id")
    return ToolRequest(tool.name, lambda: _model_arguments(tool, kwargs), call_id, create_span=not _makes_spans())


def _makes_spans() -> bool:
    settings = getattr(sys.modules.get("agent_framework.observability"), "OBSERVABILITY_SETTINGS", None)
    return bool(getattr(settings, "ENABLED", False))


def _model_arguments(tool: Any, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments: Any = kwargs.get("arguments")
    if arguments is None:
        arguments = {name: value for name, value in kwargs.items() if name in tool.parameters().get("properties", {})}
    if not arguments:
        arguments = getattr(kwargs.get("context"), "arguments", None) or {}
    return arguments if isinstance(arguments, Mapping) else arguments.model_dump(exclude_unset=True)  # pyright: ignore[reportUnknownVariableType]


def _response(result: Any) -> ToolResponse:
    """Return the text of a list of `Content` if all of it is text, else the result as it is."""
    if isinstance(result, list):
        texts = [getattr(part, "text", None) for part in result]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if all(isinstance(text, str) for text in texts):
            return ToolResponse("\n".join(map(str, texts)))
    return ToolResponse(result)


def _deferred(error: BaseException) -> bool:
    """Return True if the arguments of the model are invalid."""
    return type(error).__name__ == "_FunctionArgumentValidationError"


FRAMEWORK = Framework(
    name="agent_framework",
    title="Microsoft Agent Framework",
    distribution="agent-framework-core",
    oldest="1.0.0",
    patches=(
        ToolPatch(
            target=Target(module="agent_framework._tools", owner="FunctionTool", method="invoke"),
            read_request=_request,
            read_response=_response,
            deferred=_deferred,
            asynchronous=True,
        ),
    ),
)
