"""haystack: `invoke` or `invoke_async` of `Tool` calls every tool. The latter calls the former for a function."""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, Keeps, ToolPatch, ToolRequest, of_function

_MODULE = "haystack.tools.tool"


def _request(tool: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    return ToolRequest(tool.name, lambda: kwargs)


def _origin(tool: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Origin:
    return Origin((of_function(tool, "function", "async_function"),))


FRAMEWORK = Framework(
    name="haystack",
    title="Haystack",
    distribution="haystack-ai",
    oldest="3.4.1",
    patches=(
        ToolPatch(
            target=Target(module=_MODULE, owner="Tool", method="invoke_async"),
            read_request=_request,
            keeps=Keeps(_origin),
            asynchronous=True,
        ),
        ToolPatch(
            target=Target(module=_MODULE, owner="Tool", method="invoke"),
            read_request=_request,
            keeps=Keeps(_origin),
            inner=True,
        ),
    ),
)
