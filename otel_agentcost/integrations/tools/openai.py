"""openai: the functions that the SDK's own runner of responses calls (`openai.lib.responses_tool_runner`), and its
browser and computer, which are called by the runner or by the application.

Nothing that they raise is turned into an answer for the model: the run ends with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import (
    Framework,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    argument,
    as_mapping,
)

_COMPUTER = "computer"
"""The model's computer calls name no tool."""


def _function(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    item = argument(args, kwargs, 1, "item")
    return ToolRequest(item.name, lambda: as_mapping(json.loads(item.arguments)), item.call_id)


def _browser(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    call = argument(args, kwargs, 0, "call")
    if kwargs.get("skip"):
        return None  # an earlier one has failed: it is answered without being made
    return ToolRequest(call.name, lambda: as_mapping(json.loads(call.arguments)), call.call_id)


def _computer(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    call = argument(args, kwargs, 0, "call")
    return ToolRequest(_COMPUTER, lambda: _actions(call), call.call_id)


def _actions(call: Any) -> Mapping[str, Any]:
    actions = call.actions if call.actions is not None else [call.action]
    return {"actions": [action.to_dict() for action in actions]}


def _output(result: Any) -> ToolResponse:
    return ToolResponse(result["output"])


def _browser_output(result: Any) -> ToolResponse:
    output, fine = result
    return ToolResponse(output["output"], failed=not fine)


def _patch(module: str, owner: str, method: str, read_request: Any, read_response: Any) -> ToolPatch:
    return ToolPatch(
        target=Target(module=f"openai.lib.{module}", owner=owner, method=method),
        read_request=read_request,
        read_response=read_response,
        asynchronous=owner.startswith("Async"),
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
