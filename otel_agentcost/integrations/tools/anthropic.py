"""anthropic: tools that its tool runner (`beta.messages.tool_runner`) or the application (`tool.call(...)`) calls.

The runner's method for one step has the id of the model's call, runs inside the SDK's span of the call, and turns an
exception of the tool into a response. Before 1.17 the runner called `tool.call` directly: calls of tool classes that
the application defines are not measured there. For a toolset (a browser, a computer), the runner calls `tool_result`.
"""

from __future__ import annotations

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
)

_FUNCTIONS = "anthropic.lib.tools._beta_functions"
_MEMORY = "anthropic.lib.tools._beta_builtin_memory_tool"
_RUNNER = "anthropic.lib.tools._beta_runner"
_TOOLSETS = "anthropic.lib.tools._toolsets._runnable"


def _from_block(block: Any) -> ToolRequest:
    """Return the request in a `tool_use` block of the model."""
    return ToolRequest(block.name, lambda: as_mapping(block.input), block.id)


def _of_runner(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    return _from_block(optional_argument(args, kwargs, 1, "tool_use"))


def _of_toolset(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    return _from_block(optional_argument(args, kwargs, 0, "tool_use"))


def _of_tool(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    arguments = optional_argument(args, kwargs, 0, "input")
    return ToolRequest(tool.name, lambda: as_mapping(arguments))


def _returned(content: Any) -> ToolResponse:
    """Return a text as it is, and a list of text blocks as one text."""
    texts = [_text(block) for block in content] if type(content) is list else [None]  # pyright: ignore[reportUnknownVariableType] (the tool defines the type)
    return ToolResponse(content if None in texts else "\n".join(map(str, texts)))


def _text(block: Any) -> Any:
    return block.get("text") if hasattr(block, "get") and block.get("type") == "text" else None


def _result_block(block: Any) -> ToolResponse:
    return ToolResponse(_returned(block.get("content")).result, bool(block.get("is_error")))


def _of_step(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Origin | None:
    return _origin(optional_argument(args, kwargs, 0, "tool"), args, kwargs)


def _origin(tool: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Origin | None:
    """Return the tool's function; None for the SDK's own tools, such as its memory, which change something."""
    function = getattr(tool, "func", None)
    return Origin((function,)) if function is not None else None


def _renewed(kept: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a result block as the answer to this call."""
    return {**kept, "tool_use_id": optional_argument(args, kwargs, 1, "tool_use").id}


def _call(module: str, owner: str) -> ToolPatch:
    """Patch `call` of a tool class. The runner may call it inside a step that is patched too."""
    return ToolPatch(
        target=Target(module=module, owner=owner, method="call", optional=module != _FUNCTIONS),
        read_request=_of_tool,
        read_response=_returned,
        asynchronous="Async" in owner,
        keeps=Keeps(_origin),
        inner=True,
    )


def _step(module: str, owner: str, method: str, read_request: Any) -> ToolPatch:
    """Patch a step of the runner, from the model's tool call to its result."""
    return ToolPatch(
        target=Target(module=module, owner=owner, method=method, optional=True),
        read_request=read_request,
        read_response=_result_block,
        asynchronous="Async" in owner,
        keeps=Keeps(_of_step, _renewed) if method == "_run_tool" else None,
    )


FRAMEWORK = Framework(
    name="anthropic",
    title="anthropic's tool runner",
    distribution="anthropic",
    oldest="0.68",
    tools_since_oldest=True,
    patches=(
        _step(_RUNNER, "BaseSyncToolRunner", "_run_tool", _of_runner),
        _step(_RUNNER, "BaseAsyncToolRunner", "_run_tool", _of_runner),
        _step(_TOOLSETS, "BetaRunnableToolset", "tool_result", _of_toolset),
        _step(_TOOLSETS, "BetaAsyncRunnableToolset", "tool_result", _of_toolset),
        _call(_FUNCTIONS, "BetaFunctionTool"),
        _call(_FUNCTIONS, "BetaAsyncFunctionTool"),
        _call(_MEMORY, "BetaAbstractMemoryTool"),
        _call(_MEMORY, "BetaAsyncAbstractMemoryTool"),
    ),
)
