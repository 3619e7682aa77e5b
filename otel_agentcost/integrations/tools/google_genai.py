"""google-genai: automatic function calling, in which the SDK calls Python functions that the request has as tools.

`invoke_function_from_dict_args` or its async version calls each function. The SDK turns their exceptions into responses
for the model. They do not get the id that the model gave the call, so a patch of their caller keeps the ids. `mcp.py`
measures the calls of MCP sessions that the request has as tools.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import Framework, Keeps, ToolPatch, ToolRequest, as_mapping

_MODULE = "google.genai._extra_utils"
_READS = ("args", "function_to_invoke")

_ids: ContextVar[list[tuple[str, str]] | None] = ContextVar("agentcost-google-genai-ids", default=None)
"""The names and ids of the tool calls in the current response that did not run yet, in order."""


def _keep_ids(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep the ids of the response's tool calls. Returns None, because this function calls no tool itself."""
    candidates = optional_argument(args, kwargs, 0, "response").candidates or ()
    parts = getattr(candidates[0].content, "parts", None) or () if candidates else ()
    calls = [part.function_call for part in parts if part.function_call is not None]
    _ids.set([(call.name, call.id) for call in calls if call.id])


def _request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    arguments = optional_argument(args, kwargs, 0, "args")
    tool = optional_argument(args, kwargs, 1, "function_to_invoke").__name__
    pending = _ids.get() or []
    index = next((index for index, (name, _) in enumerate(pending) if name == tool), None)
    return ToolRequest(tool, lambda: as_mapping(arguments), pending.pop(index)[1] if index is not None else None)


def _origin(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin:
    return Origin((optional_argument(args, kwargs, 1, "function_to_invoke"),))


FRAMEWORK = Framework(
    name="google_genai",
    title="google-genai's automatic function calling",
    distribution="google-genai",
    oldest="1.32",
    patches=(
        ToolPatch(
            target=Target(module=_MODULE, method="get_function_response_parts", optional=True), read_request=_keep_ids
        ),
        ToolPatch(
            target=Target(module=_MODULE, method="get_function_response_parts_async", optional=True),
            read_request=_keep_ids,
            asynchronous=True,
        ),
        ToolPatch(
            target=Target(module=_MODULE, method="invoke_function_from_dict_args", reads=_READS),
            read_request=_request,
            keeps=Keeps(_origin),
        ),
        ToolPatch(
            target=Target(module=_MODULE, method="invoke_function_from_dict_args_async", reads=_READS),
            read_request=_request,
            keeps=Keeps(_origin),
            asynchronous=True,
        ),
    ),
)
