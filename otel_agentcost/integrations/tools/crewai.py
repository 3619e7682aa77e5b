"""crewai: an agent whose model calls functions runs a tool with `run` or `arun`, and one that only writes what it wants
with `invoke` or `ainvoke` of the `CrewStructuredTool` that was made of it. Neither goes through the other, and what
crewai answers from its cache goes through none. `run` is not told the id that the model gave the call, so that is kept
from one level above.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse, argument
from otel_agentcost.telemetry.attribution import follow_into_threads

_Read = Callable[[Any, tuple[Any, ...], dict[str, Any]], ToolRequest | None]

_UTILITIES = "crewai.utilities.agent_utils"

_wanted: ContextVar[tuple[str, str] | None] = ContextVar("agentcost-crewai-call", default=None)
"""The id and the name of the call that the model wants, until its tool runs."""


def _want(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keeps the id; is no call of a tool itself, and may not lead to one."""
    read = getattr(sys.modules[_UTILITIES], "extract_tool_call_info", None)
    said = read(argument(args, kwargs, 0, "tool_call")) if read is not None else None
    _wanted.set((str(said[0]), str(said[1])) if said else None)


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    fields: Any = tool.args_schema.model_fields
    id_, name = _wanted.get() or (None, None)
    _wanted.set(None)
    request = _called(tool, lambda: {**dict(zip(fields, args, strict=False)), **kwargs})
    return request._replace(call_id=id_) if request is not None and request.name == name else request


def _invoked(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    given = argument(args, kwargs, 0, "input")
    return _called(tool, lambda: json.loads(given) if isinstance(given, str) else given)


def _called(tool: Any, given: Callable[[], Mapping[str, Any]]) -> ToolRequest | None:
    most = getattr(tool, "max_usage_count", None)
    if most is not None and tool.current_usage_count >= most:
        return None  # it is refused
    follow_into_threads()  # where functions run that are not async
    return ToolRequest(_name(tool), lambda: _from_the_model(tool, given()))


def _name(tool: Any) -> str:
    """As the model knows it: newer releases put it in small letters, with underscores."""
    sanitize = getattr(sys.modules.get("crewai.utilities.string_utils"), "sanitize_tool_name", str)
    return str(sanitize(tool.name))


def _from_the_model(tool: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the fingerprint of the agent, which some releases add."""
    fields: Any = getattr(tool.args_schema, "model_fields", None)
    return {name: value for name, value in given.items() if name in fields} if fields else given


def _response(result: Any) -> ToolResponse:
    """Newer releases have a `ToolFailure` for what went wrong without raising."""
    failed = hasattr(result, "as_agent_message")
    return ToolResponse(result.message if failed else result, failed)


def _patches(module: str, owner: str, method: str, read_request: _Read) -> tuple[ToolPatch, ToolPatch]:
    def patch(name: str, *, asynchronous: bool) -> ToolPatch:
        # Older releases have nothing async, and one `run` for all.
        optional = asynchronous or owner == "Tool"
        target = Target(module=f"crewai.tools.{module}", owner=owner, method=_own(name), optional=optional)
        return ToolPatch(target=target, read_request=read_request, read_response=_response, asynchronous=asynchronous)

    return patch(method, asynchronous=False), patch(f"a{method}", asynchronous=True)


def _own(method: str) -> Callable[[type], str]:
    """Not what is inherited: that is patched where it comes from."""
    return lambda owner: method if method in vars(owner) else f"own {method}"


FRAMEWORK = Framework(
    name="crewai",
    title="CrewAI",
    distribution="crewai",
    oldest="0.95.0",
    patches=(
        ToolPatch(
            target=Target(module=_UTILITIES, method="execute_single_native_tool_call", optional=True),
            read_request=_want,
        ),
        ToolPatch(
            target=Target(
                module="crewai.agents.agent_executor",
                owner="AgentExecutor",
                method="_execute_single_native_tool_call",
                optional=True,
            ),
            read_request=_want,
        ),
        *_patches("base_tool", "BaseTool", "run", _request),
        *_patches("base_tool", "Tool", "run", _request),
        *_patches("structured_tool", "CrewStructuredTool", "invoke", _invoked),
    ),
)
