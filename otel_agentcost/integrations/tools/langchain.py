"""langchain-core: `run` or `arun` of `BaseTool` calls every tool of LangChain, LangGraph and their integrations.

The model's tool call is a `ToolCall` dictionary. `run` gets its arguments and its id.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, cast
from weakref import WeakKeyDictionary

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import (
    Framework,
    Keeps,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
    of_function,
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
    return ToolResponse(result.content, result.status == "error") if _is_message(result) else ToolResponse(result)


def _origin(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin | None:
    """Return the tool's function; None if it gets more than the model's arguments: state, store, configuration."""
    arguments = optional_argument(args, kwargs, 0, "tool_input")
    function: Any = of_function(tool, "func", "coroutine")
    config_of = getattr(sys.modules.get(_MODULE), "_get_runnable_config_param", None)
    runs = (tool._run, tool._arun) if function is tool else (function,)
    if config_of is None or any(config_of(run) for run in runs):
        return None
    injected = isinstance(arguments, dict) and len(_model_arguments(tool, arguments)) != len(arguments)  # pyright: ignore[reportUnknownArgumentType]
    return None if injected else Origin((function, kwargs.get("tool_call_id") is not None))


def _renewed(kept: Any, _tool: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a `ToolMessage` as the answer to this call."""
    if not _is_message(kept):
        return kept
    return kept.model_copy(update={"tool_call_id": kwargs.get("tool_call_id")})


def _is_message(result: Any) -> bool:
    message = getattr(sys.modules.get("langchain_core.messages.tool"), "ToolMessage", None)
    return message is not None and issubclass(type(result), message)


def _fits(result: Any) -> bool:
    """Return False for commands to the graph and messages of the tool's own, which name calls or have ids."""
    if _is_message(result):
        return result.id is None
    several = isinstance(result, (list, tuple))
    items = cast("Iterable[object]", result) if several else (result,)
    return not any(type(item).__name__ in ("Command", "ToolMessage") for item in items)


_KEEPS = Keeps(_origin, _renewed, _fits)

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
            keeps=_KEEPS,
        ),
        ToolPatch(
            target=Target(module=_MODULE, owner="BaseTool", method="arun", reads=_READS),
            read_request=_request,
            read_response=_response,
            keeps=_KEEPS,
            asynchronous=True,
        ),
    ),
)
