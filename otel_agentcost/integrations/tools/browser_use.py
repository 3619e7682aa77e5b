"""browser-use: `Registry.execute_action` runs each action on the browser, and each function of the application."""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.patching import Target, argument
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse, as_mapping

_DONE = "done"
"""The action by which the model says that the task is done."""


def _request(_registry: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    name = argument(args, kwargs, 0, "action_name")
    arguments = argument(args, kwargs, 1, "params")
    return ToolRequest(name, lambda: as_mapping(arguments), counts=name != _DONE)


def _response(result: Any) -> ToolResponse:
    """Return what the model reads of the result."""
    error = getattr(result, "error", None)
    return ToolResponse(error or getattr(result, "extracted_content", result), failed=error is not None)


FRAMEWORK = Framework(
    name="browser-use",
    title="browser-use",
    distribution="browser-use",
    oldest="0.13.14",
    patches=(
        ToolPatch(
            target=Target(
                module="browser_use.tools.registry.service",
                owner="Registry",
                method="execute_action",
                reads=("action_name", "params"),
            ),
            read_request=_request,
            read_response=_response,
            asynchronous=True,
        ),
    ),
)
