"""agno: `execute` or `aexecute` of `FunctionCall` calls every tool of an agent and of a team.

The private methods inside of them are patched: the official instrumentation of agno leaves out methods that others have
wrapped.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.tools._base import Framework, ToolPatch, ToolRequest, ToolResponse, as_mapping

_MODULE = "agno.tools.function"


def _request(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    del args, kwargs
    return ToolRequest(call.function.name, lambda: as_mapping(call.arguments), call.call_id)


def _response(outcome: Any) -> ToolResponse:
    """Read a `FunctionExecutionResult`: agno raises no exception of a tool."""
    failed = outcome.status == "failure"
    return ToolResponse(outcome.error if failed else outcome.result, failed)


def _patch(method: str, *, asynchronous: bool) -> ToolPatch:
    def innermost(owner: type) -> str:
        return f"_{method}" if hasattr(owner, f"_{method}") else method

    return ToolPatch(
        target=Target(module=_MODULE, owner="FunctionCall", method=innermost),
        read_request=_request,
        read_response=_response,
        asynchronous=asynchronous,
    )


FRAMEWORK = Framework(
    name="agno",
    title="Agno",
    distribution="agno",
    oldest="3.1.10",
    patches=(_patch("execute", asynchronous=False), _patch("aexecute", asynchronous=True)),
)
