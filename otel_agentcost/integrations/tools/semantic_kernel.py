"""semantic-kernel: `KernelFunction.invoke` calls every function, also those that a model calls by itself.

`invoke_stream` calls those that yield the parts of their result, for an application that reads them one by one.

Semantic Kernel makes a span of each call, with the global tracer provider. A prompt that the application invokes as a
function is a model call and not a tool.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import (
    Framework,
    ToolPatch,
    ToolRequest,
    ToolResponse,
    as_mapping,
)


def _request(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest | None:
    metadata: Any = optional_argument(args, kwargs, 2, "metadata") or {}
    call_id = metadata.get("id")
    if function.is_prompt and call_id is None:
        return None
    arguments: Any = optional_argument(args, kwargs, 1, "arguments")
    if arguments is None:
        arguments = {name: value for name, value in kwargs.items() if name not in ("kernel", "arguments", "metadata")}
    return ToolRequest(function.fully_qualified_name, lambda: as_mapping(arguments), call_id, create_span=False)


def _response(result: Any) -> ToolResponse:
    return ToolResponse(getattr(result, "value", result))


def _no_response(_part: Any) -> None:
    """Say that a part of a result is not the result: the call ends when the last one is read."""


def _target(method: str) -> Target:
    return Target(
        module="semantic_kernel.functions.kernel_function",
        owner="KernelFunction",
        method=method,
        reads=("kernel", "arguments", "metadata"),
    )


FRAMEWORK = Framework(
    name="semantic-kernel",
    title="Semantic Kernel",
    distribution="semantic-kernel",
    oldest="1.35.0",
    patches=(
        ToolPatch(
            target=_target("invoke"),
            read_request=_request,
            read_response=_response,
            asynchronous=True,
        ),
        ToolPatch(target=_target("invoke_stream"), read_request=_request, read_response=_no_response, streams=True),
    ),
)
