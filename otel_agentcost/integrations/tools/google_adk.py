"""google-adk: ADK makes a span of each tool call. That span represents the call.

The span has few attributes, and unsampled traces have no spans. So the function that runs inside it is patched too.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, as_mapping

_FLOWS = "google.adk.flows.llm_flows"


def _request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    arguments = optional_argument(args, kwargs, 1, "args")
    context = optional_argument(args, kwargs, 2, "tool_context")
    call_id = getattr(context, "function_call_id", None)
    return ToolRequest(optional_argument(args, kwargs, 0, "tool").name, lambda: as_mapping(arguments), call_id)


def _step(module: str, function: str) -> ToolPatch:
    # Optional: the function was renamed before, and the calls are still counted by their spans.
    reads = ("tool", "args", "tool_context")
    target = Target(module=f"{_FLOWS}.{module}", method=function, reads=reads, optional=True)
    return ToolPatch(target=target, read_request=_request, asynchronous=True)


FRAMEWORK = Framework(
    name="google_adk",
    title="Google ADK",
    distribution="google-adk",
    oldest="1.10.0",
    patches=(_step("tools._caller", "_call_tool_async"), _step("functions", "__call_tool_async")),
)
