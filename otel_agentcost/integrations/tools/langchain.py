"""langchain-core: every tool of LangChain, LangGraph and their integrations is a `BaseTool`, and `run` or `arun` calls
it. What the model called comes as a `ToolCall` dictionary, of which `run` gets the arguments and the id.
"""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakKeyDictionary

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import (
    Framework,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    argument,
    as_mapping,
)

_MODULE = "langchain_core.tools.base"

_known: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
"""The arguments that are not injected, by the class that says what a tool takes."""


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    given = argument(args, kwargs, 0, "tool_input")
    return ToolRequest(tool.name, lambda: as_mapping(_from_the_model(tool, given)), kwargs.get("tool_call_id"))


def _from_the_model(tool: Any, given: Any) -> Any:
    """Without what LangChain injects: the state of a graph, its store, its runtime."""
    if not isinstance(given, dict):
        return given
    if hasattr(tool, "_filter_injected_args"):
        return tool._filter_injected_args(given)
    asked_for = _names(tool)
    return {name: value for name, value in given.items() if name in asked_for}  # pyright: ignore[reportUnknownVariableType]


def _names(tool: Any) -> frozenset[str]:
    """What the model may write. langchain-core before 1.1 makes a model and its JSON schema for that, each time."""
    schema: Any = tool.args_schema
    kind: type = schema if isinstance(schema, type) else type(tool)  # another schema is of this tool alone
    known = _known.get(kind) if kind is schema or schema is None else None
    if known is None:
        known = frozenset(tool.tool_call_schema.model_json_schema().get("properties", {}))
        if kind is schema or schema is None:
            _known[kind] = known
    return known


def _response(result: Any) -> ToolResponse:
    """A `ToolMessage` where the model called the tool, else what the tool returned: that may be anything, also what a
    look changes, such as a response whose content has not been read yet.
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
            target=Target(module=_MODULE, owner="BaseTool", method="run"),
            read_request=_request,
            read_response=_response,
        ),
        ToolPatch(
            target=Target(module=_MODULE, owner="BaseTool", method="arun"),
            read_request=_request,
            read_response=_response,
            asynchronous=True,
        ),
    ),
)
