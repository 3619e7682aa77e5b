"""llama-index-core: tools are functions (those of tool specs and MCP servers too), query engines and retrievers.

Agents call `acall`, other code calls `call`. Neither calls the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, Keeps, ToolPatch, ToolRequest, ToolResponse, of_function


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    return ToolRequest(tool.metadata.name or type(tool).__name__, lambda: _model_arguments(tool, args, kwargs))


def _model_arguments(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """Return the arguments by name, without the workflow's context and the tool's preset arguments."""
    schema = tool.metadata.fn_schema
    fields: Any = getattr(schema, "model_fields", None)
    if fields is None:  # no schema, or a schema of pydantic 1
        fields = getattr(schema, "__fields__", ("input",))
    context = getattr(tool, "ctx_param_name", None)
    preset: dict[str, Any] = getattr(tool, "partial_params", {})
    return {
        **dict(zip(fields, args, strict=False)),
        **{name: value for name, value in kwargs.items() if name != context and not _is_preset(preset, name, value)},
    }


def _is_preset(preset: Mapping[str, Any], name: str, value: Any) -> bool:
    return name in preset and preset[name] is value


def _origin(tool: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Origin | None:
    """Return the tool's function or engine, and its preset arguments; None if it gets the workflow's context."""
    if getattr(tool, "ctx_param_name", None) is not None:
        return None
    return Origin((of_function(tool, "real_fn"), *getattr(tool, "partial_params", {}).values()))


def _response(result: Any) -> ToolResponse:
    """Read a `ToolOutput`."""
    return ToolResponse(getattr(result, "content", result), getattr(result, "is_error", False))


def _deferred(error: BaseException) -> bool:
    """Return True if the tool waits for an event, such as a person's approval: it runs again when the event arrives."""
    return type(error).__name__ == "WaitingForEvent"


def _patches(module: str, owner: str) -> tuple[ToolPatch, ...]:
    return tuple(
        ToolPatch(
            target=Target(module=f"llama_index.core.tools.{module}", owner=owner, method=method),
            read_request=_request,
            read_response=_response,
            deferred=_deferred,
            keeps=Keeps(_origin),
            asynchronous=method == "acall",
        )
        for method in ("call", "acall")
    )


FRAMEWORK = Framework(
    name="llama_index",
    title="LlamaIndex",
    distribution="llama-index-core",
    oldest="0.10.0",
    patches=(
        *_patches("function_tool", "FunctionTool"),
        *_patches("query_engine", "QueryEngineTool"),
        *_patches("retriever_tool", "RetrieverTool"),
    ),
)
