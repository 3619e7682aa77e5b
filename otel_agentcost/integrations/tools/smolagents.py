"""smolagents: calling a `Tool` calls every tool, from the model's tool calls and from its code.

`final_answer` is a tool too: the model calls it to end the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, Keeps, ToolPatch, ToolRequest, ToolResponse


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    return ToolRequest(tool.name, lambda: _model_arguments(tool, args, kwargs))


def _model_arguments(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """Return the arguments by name. A single mapping may hold all of them."""
    if (
        len(args) == 1
        and isinstance(args[0], dict)
        and all(name in tool.inputs for name in cast("dict[str, Any]", args[0]))
    ):
        return cast("dict[str, Any]", args[0])  # the model may have sent anything
    named = dict(zip(tool.inputs, args, strict=False))
    return {**named, **{name: value for name, value in kwargs.items() if name in tool.inputs}}


def _origin(tool: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Origin | None:
    """Return the tool; None for the one that ends the run."""
    return Origin((tool,)) if tool.name != "final_answer" else None


def _response(result: Any) -> ToolResponse:
    """Read the result: an `AgentText` is a string of a class of its own."""
    return ToolResponse(str(result) if isinstance(result, str) else result)


FRAMEWORK = Framework(
    name="smolagents",
    title="smolagents",
    distribution="smolagents",
    oldest="1.26.0",
    patches=(
        ToolPatch(
            target=Target(module="smolagents.tools", owner="Tool", method="__call__"),
            read_request=_request,
            read_response=_response,
            keeps=Keeps(_origin),
        ),
    ),
)
