"""autogen-core: `BaseTool.run_json` calls every tool of AutoGen's agents and workbenches.

autogen-core 0.6 and later makes spans of tool calls, with the global tracer provider.
"""

from __future__ import annotations

import sys
from typing import Any

from otel_agentcost.core.tool_results import Origin
from otel_agentcost.integrations.patching import Target, optional_argument
from otel_agentcost.integrations.tools._base import Framework, Keeps, ToolPatch, ToolRequest, as_mapping, of_function

_MODULE = "autogen_core.tools._base"


def _request(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolRequest:
    arguments = optional_argument(args, kwargs, 0, "args")
    call_id = optional_argument(args, kwargs, 2, "call_id")
    create_span = not hasattr(sys.modules.get(_MODULE), "trace_tool_span")
    return ToolRequest(tool.name, lambda: as_mapping(arguments), call_id, create_span=create_span)


def _origin(tool: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Origin:
    return Origin((of_function(tool, "_func"),))


FRAMEWORK = Framework(
    name="autogen",
    title="AutoGen",
    distribution="autogen-core",
    oldest="0.4.2",
    patches=(
        ToolPatch(
            target=Target(module=_MODULE, owner="BaseTool", method="run_json", reads=("args",)),
            read_request=_request,
            keeps=Keeps(_origin),
            asynchronous=True,
        ),
    ),
)
