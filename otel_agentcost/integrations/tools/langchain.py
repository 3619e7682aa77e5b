"""langchain-core: `run` or `arun` of `BaseTool` calls every tool of LangChain, LangGraph and their integrations.

The model's tool call is a `ToolCall` dictionary. `run` gets its arguments and its id.
"""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakKeyDictionary

from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import (
    Framework,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
)

_MODULE = "langchain_core.tools.base"
_READS = ("tool_input", "*", "tool_call_id")

_model_argument_names: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
"""The names of the arguments that LangChain does not inject, by the class of the tool's schema."""


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    arguments = optional_argument(args, kwargs, 0, "tool_input")
    return ToolRequest(tool.name, lambda: as_mapping(_model_arguments(tool, arguments)), kwargs.get("tool_call_id"))


def _model_arguments(tool: Any, arguments: Any) -> Any:
    """Return `arguments` without those that LangChain injects: the state of a graph, its store, its runtime."""
    if not isinstance(arguments, dict):
        return arguments
    if hasattr(tool, "_filter_injected_args"):
        return tool._filter_injected_args(arguments)
    names = _names(tool)
    return {name: value for name, value in arguments.items() if name in names}  # pyright: ignore[reportUnknownVariableType]


def _names(tool: Any) -> frozenset[str]:
    """Return the names of the arguments that the model writes, from a cache.

    langchain-core before 1.1 builds a pydantic model and its JSON schema at each call of `tool_call_schema`.
    """
    schema: Any = tool.args_schema
    kind: type = schema if isinstance(schema, type) else type(tool)  # a schema that is no class belongs to one tool
    names = _model_argument_names.get(kind) if kind is schema or schema is None else None
    if names is None:
        names = frozenset(tool.tool_call_schema.model_json_schema().get("properties", {}))
        if kind is schema or schema is None:
            _model_argument_names[kind] = names
    return names


def _response(result: Any) -> ToolResponse:
    """Return the content of a `ToolMessage`, or any other result as it is.

    No attribute of another result is read: that may change it, for example an HTTP response that was not read yet.
    """
    message = getattr(sys.modules.get("langchain_core.messages.tool"), "ToolMessage", None)
    if message is None or not issubclass(type(result), message):
        return ToolResponse(result)
    return ToolResponse(result.content, result.status == "error")


FRAMEWORK = Framework(
    name="langchain",
    title="LangChain, LangGraph",
    distribution="langchain-core",
    oldest="0.3.0",
    patches=(
        ToolPatch(
            target=Target(module=_MODULE, owner="BaseTool", method="run", reads=_READS),
            read_request=_request,
            read_response=_response,
        ),
        ToolPatch(
            target=Target(module=_MODULE, owner="BaseTool", method="arun", reads=_READS),
            read_request=_request,
            read_response=_response,
            asynchronous=True,
        ),
    ),
)
