"""agent-framework, which came after AutoGen: an agent's functions, MCP servers' among them, are `FunctionTool`s, and
`invoke` calls one. It makes spans of them by itself, unless it is told not to.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:  # noqa: ARG001 (it takes none)
    if tool.declaration_only:
        return None  # somebody else runs it
    call_id = kwargs.get("tool_call_id")
    return ToolRequest(tool.name, lambda: _from_the_model(tool, kwargs), call_id, create_span=not _makes_spans())


def _makes_spans() -> bool:
    settings = getattr(sys.modules.get("agent_framework.observability"), "OBSERVABILITY_SETTINGS", None)
    return bool(getattr(settings, "ENABLED", False))


def _from_the_model(tool: Any, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    given: Any = kwargs.get("arguments")
    if given is None:
        given = {name: value for name, value in kwargs.items() if name in tool.parameters().get("properties", {})}
    if not given:
        given = getattr(kwargs.get("context"), "arguments", None) or {}
    return given if isinstance(given, Mapping) else given.model_dump(exclude_unset=True)  # pyright: ignore[reportUnknownVariableType]


def _response(result: Any) -> ToolResponse:
    """A list of `Content`: its text, where all of it is text."""
    if isinstance(result, list):
        texts = [getattr(part, "text", None) for part in result]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if all(isinstance(text, str) for text in texts):
            return ToolResponse("\n".join(map(str, texts)))
    return ToolResponse(result)


def _deferred(error: BaseException) -> bool:
    """The model has called it with arguments that do not fit."""
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
