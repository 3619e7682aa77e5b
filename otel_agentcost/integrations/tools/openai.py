"""openai: functions that the SDK's tool runner calls (`responses_tool_runner`), and the SDK's browser and computer.

The runner or the application calls the browser and the computer. An exception of a tool ends the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import (
    Framework,
    Keeps,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
    of_function,
)

_COMPUTER = "computer"
"""The name of the computer tool, which the model's computer calls do not have."""


def _function(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    item = optional_argument(args, kwargs, 1, "item")
    return ToolRequest(item.name, lambda: as_mapping(json.loads(item.arguments)), item.call_id)


def _browser(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    call = optional_argument(args, kwargs, 0, "call")
    if kwargs.get("skip"):
        return None  # an earlier call failed: the SDK answers this one without running it
    return ToolRequest(call.name, lambda: as_mapping(json.loads(call.arguments)), call.call_id)


def _computer(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    call = optional_argument(args, kwargs, 0, "call")
    return ToolRequest(_COMPUTER, lambda: _actions(call), call.call_id)


def _actions(call: Any) -> Mapping[str, Any]:
    actions = call.actions if call.actions is not None else [call.action]
    return {"actions": [action.to_dict() for action in actions]}


def _output(result: Any) -> ToolResponse:
    return ToolResponse(result["output"])


def _browser_output(result: Any) -> ToolResponse:
    output, succeeded = result
    return ToolResponse(output["output"], failed=not succeeded)


def _origin(runner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin:
    return Origin((of_function(runner._functions[optional_argument(args, kwargs, 1, "item").name], "execute"),))


def _renewed(kept: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return an output as the answer to this call."""
    return {**kept, "call_id": optional_argument(args, kwargs, 1, "item").call_id}


def _patch(module: str, owner: str, method: str, read_request: Any, read_response: Any) -> ToolPatch:
    return ToolPatch(
        target=Target(module=f"openai.lib.{module}", owner=owner, method=method),
        read_request=read_request,
        read_response=read_response,
        asynchronous=owner.startswith("Async"),
        keeps=Keeps(_origin, _renewed) if method == "_execute_function" else None,
    )


FRAMEWORK = Framework(
    name="openai",
    title="openai's tool runner",
    distribution="openai",
    oldest="3.31",
    tools_since_oldest=True,
    patches=(
        _patch("responses_tool_runner", "ResponsesToolRunner", "_execute_function", _function, _output),
        _patch("responses_tool_runner", "AsyncResponsesToolRunner", "_execute_function", _function, _output),
        _patch("browser", "BrowserToolset", "_execute", _browser, _browser_output),
        _patch("browser", "AsyncBrowserToolset", "_execute", _browser, _browser_output),
        _patch("computer", "ComputerToolset", "_dispatch", _computer, _output),
        _patch("computer", "AsyncComputerToolset", "_dispatch", _computer, _output),
    ),
)
