"""dspy: `Tool.__call__` and `acall` call the tools of its agents, also those of MCP servers and LangChain."""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, Keeps, ToolPatch, ToolRequest

_OWN = "dspy.predict."
"""The module of functions that an agent of DSPy adds to its tools, to end its run."""


def _request(tool: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    ends_run = str(getattr(tool.func, "__module__", "")).startswith(_OWN)
    return ToolRequest(tool.name or type(tool).__name__, lambda: kwargs, counts=not ends_run)


def _origin(tool: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Origin:
    return Origin((tool.func,))


def _patch(method: str) -> ToolPatch:
    return ToolPatch(
        target=Target(module="dspy.adapters.types.tool", owner="Tool", method=method),
        read_request=_request,
        keeps=Keeps(_origin),
        asynchronous=method == "acall",
    )


FRAMEWORK = Framework(
    name="dspy", title="DSPy", distribution="dspy", oldest="3.0.0", patches=(_patch("__call__"), _patch("acall"))
)
