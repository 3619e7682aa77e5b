"""langchain-core: every tool of LangChain, LangGraph and their integrations is a `BaseTool`, and `run` or `arun` calls
it. What the model called comes as a `ToolCall` dictionary, of which `run` gets the arguments and the id.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.patching import Target
from otel_agentcost.tools._framework import Answered, Asked, Framework, ToolPatch, argument, as_mapping

_MODULE = "langchain_core.tools.base"


def _asked(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
    given = argument(args, kwargs, 0, "tool_input")
    return Asked(tool.name, lambda: as_mapping(_from_the_model(tool, given)), kwargs.get("tool_call_id"))


def _from_the_model(tool: Any, given: Any) -> Any:
    """Without what LangChain injects: the state of a graph, its store, its runtime."""
    if not isinstance(given, dict):
        return given
    if hasattr(tool, "_filter_injected_args"):
        return tool._filter_injected_args(given)
    asked_for = tool.tool_call_schema.model_json_schema().get("properties", {})  # langchain-core before 1.1
    return {name: value for name, value in given.items() if name in asked_for}  # pyright: ignore[reportUnknownVariableType]


def _answered(result: Any) -> Answered:
    """A `ToolMessage` where the model called the tool, else what the tool returned."""
    failed = getattr(result, "status", None) == "error"
    return Answered(getattr(result, "content", result), failed)


FRAMEWORK = Framework(
    name="langchain",
    title="LangChain, LangGraph",
    distribution="langchain-core",
    oldest="0.3.0",
    patches=(
        ToolPatch(target=Target(module=_MODULE, owner="BaseTool", method="run"), asked=_asked, answered=_answered),
        ToolPatch(
            target=Target(module=_MODULE, owner="BaseTool", method="arun"),
            asked=_asked,
            answered=_answered,
            asynchronous=True,
        ),
    ),
)
