"""crewai: `run` and `arun` of a tool, and `invoke` and `ainvoke` of the `CrewStructuredTool` that wraps it.

An agent with native function calling uses the former, and an agent that parses the model's text uses the latter.
Neither calls the other, and crewai calls neither for a result from its cache. `run` does not get the id that the model
gave the call, so a patch of its caller keeps the id.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse

_ReadRequest = Callable[[Any, tuple[Any, ...], dict[str, Any]], ToolRequest | None]

_UTILITIES = "crewai.utilities.agent_utils"

_current_call: ContextVar[tuple[str, str] | None] = ContextVar("agentcost-crewai-call", default=None)
"""The id and the name of the model's tool call, until the tool runs."""


def _keep_id(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep the id of the model's tool call. Returns None, because crewai may still refuse to run the tool."""
    read = getattr(sys.modules[_UTILITIES], "extract_tool_call_info", None)
    info = read(optional_argument(args, kwargs, 0, "tool_call")) if read is not None else None
    _current_call.set((str(info[0]), str(info[1])) if info else None)


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    fields: Any = tool.args_schema.model_fields
    id_, name = _current_call.get() or (None, None)
    _current_call.set(None)
    request = _to_request(tool, lambda: {**dict(zip(fields, args, strict=False)), **kwargs})
    return request._replace(call_id=id_) if request is not None and request.name == name else request


def _invoke_request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    arguments = optional_argument(args, kwargs, 0, "input")
    return _to_request(tool, lambda: json.loads(arguments) if isinstance(arguments, str) else arguments)


def _to_request(tool: Any, arguments: Callable[[], Mapping[str, Any]]) -> ToolRequest | None:
    most = getattr(tool, "max_usage_count", None)
    if most is not None and tool.current_usage_count >= most:
        return None  # crewai refuses the call
    return ToolRequest(_name(tool), lambda: _model_arguments(tool, arguments()))


def _name(tool: Any) -> str:
    """Return the tool's name as the model gets it: newer releases convert it to lower case and underscores."""
    sanitize = getattr(sys.modules.get("crewai.utilities.string_utils"), "sanitize_tool_name", str)
    return str(sanitize(tool.name))


def _model_arguments(tool: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `arguments` without the fingerprint of the agent, which some releases of crewai add."""
    fields: Any = getattr(tool.args_schema, "model_fields", None)
    return {name: value for name, value in arguments.items() if name in fields} if fields else arguments


def _response(result: Any) -> ToolResponse:
    """Read the result. Newer releases of crewai return a `ToolFailure` for an error that is not raised."""
    failed = hasattr(result, "as_agent_message")
    return ToolResponse(result.message if failed else result, failed)


def _patches(module: str, owner: str, method: str, read_request: _ReadRequest) -> tuple[ToolPatch, ToolPatch]:
    def patch(name: str, *, asynchronous: bool) -> ToolPatch:
        # Older releases have no async methods, and one `run` for both classes.
        optional = asynchronous or owner == "Tool"
        target = Target(module=f"crewai.tools.{module}", owner=owner, method=_defined_in(name), optional=optional)
        return ToolPatch(target=target, read_request=read_request, read_response=_response, asynchronous=asynchronous)

    return patch(method, asynchronous=False), patch(f"a{method}", asynchronous=True)


def _defined_in(method: str) -> Callable[[type], str]:
    """Name the method only in the class that defines it: an inherited method is patched in its base class."""
    return lambda owner: method if method in vars(owner) else f"{method} (not inherited)"


FRAMEWORK = Framework(
    name="crewai",
    title="CrewAI",
    distribution="crewai",
    oldest="0.95.0",
    patches=(
        ToolPatch(
            target=Target(module=_UTILITIES, method="execute_single_native_tool_call", optional=True),
            read_request=_keep_id,
        ),
        ToolPatch(
            target=Target(
                module="crewai.agents.agent_executor",
                owner="AgentExecutor",
                method="_execute_single_native_tool_call",
                optional=True,
            ),
            read_request=_keep_id,
        ),
        *_patches("base_tool", "BaseTool", "run", _request),
        *_patches("base_tool", "Tool", "run", _request),
        *_patches("structured_tool", "CrewStructuredTool", "invoke", _invoke_request),
    ),
)
