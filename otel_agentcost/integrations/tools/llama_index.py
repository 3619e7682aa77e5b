"""llama-index-core: tools are `FunctionTool`s (those of tool specs and of MCP servers are too), query engines and
retrievers. Agents call them with `acall`, and everything else with `call`; neither goes through the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    return ToolRequest(tool.metadata.name or type(tool).__name__, lambda: _from_the_model(tool, args, kwargs))


def _from_the_model(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """By their names, without what llama-index adds: a workflow's context, and what the tool was made with."""
    schema = tool.metadata.fn_schema
    fields: Any = getattr(schema, "model_fields", None)
    if fields is None:  # without a schema, or with one of pydantic 1
        fields = getattr(schema, "__fields__", ("input",))
    context = getattr(tool, "ctx_param_name", None)
    added: dict[str, Any] = getattr(tool, "partial_params", {})
    return {
        **dict(zip(fields, args, strict=False)),
        **{name: value for name, value in kwargs.items() if name != context and not _is_added(added, name, value)},
    }


def _is_added(added: Mapping[str, Any], name: str, value: Any) -> bool:
    return name in added and added[name] is value


def _response(result: Any) -> ToolResponse:
    """A `ToolOutput`."""
    return ToolResponse(getattr(result, "content", result), getattr(result, "is_error", False))


def _deferred(error: BaseException) -> bool:
    """A tool that waits for somebody's word stops with this, and is run again when that has come."""
    return type(error).__name__ == "WaitingForEvent"


def _patches(module: str, owner: str) -> tuple[ToolPatch, ...]:
    return tuple(
        ToolPatch(
            target=Target(module=f"llama_index.core.tools.{module}", owner=owner, method=method),
            read_request=_request,
            read_response=_response,
            deferred=_deferred,
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
