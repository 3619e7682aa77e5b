"""google-genai: automatic function calling, in which the SDK calls Python functions that were given as tools.

Each goes through `invoke_function_from_dict_args` or its asynchronous twin, which raise what the SDK then turns into
an answer for the model. They are not told the id that the model gave the call, so that is kept from one level above.
MCP sessions that were given as tools are called through mcp, which is where those are seen.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, argument, as_mapping

_MODULE = "google.genai._extra_utils"

_ids: ContextVar[list[tuple[str, str]] | None] = ContextVar("agentcost-google-genai-ids", default=None)
"""Of the response that is being worked off: the names and ids of its calls that are still to be made, in order."""


def _keep_ids(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keeps the ids; is no call of a tool itself."""
    candidates = argument(args, kwargs, 0, "response").candidates or ()
    parts = getattr(candidates[0].content, "parts", None) or () if candidates else ()
    calls = [part.function_call for part in parts if part.function_call is not None]
    _ids.set([(call.name, call.id) for call in calls if call.id])


def _request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    given = argument(args, kwargs, 0, "args")
    tool = argument(args, kwargs, 1, "function_to_invoke").__name__
    left = _ids.get() or []
    place = next((place for place, (name, _) in enumerate(left) if name == tool), None)
    return ToolRequest(tool, lambda: as_mapping(given), left.pop(place)[1] if place is not None else None)


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
        ToolPatch(target=Target(module=_MODULE, method="invoke_function_from_dict_args"), read_request=_request),
        ToolPatch(
            target=Target(module=_MODULE, method="invoke_function_from_dict_args_async"),
            read_request=_request,
            asynchronous=True,
        ),
    ),
)
