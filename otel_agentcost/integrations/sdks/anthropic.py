"""anthropic: the API itself, and its Bedrock, Vertex and Foundry clients. Its clients for Claude's own platform on
AWS and on Google Cloud are the API itself, at other addresses: Anthropic's names and prices of the models hold there.

Since 2.12, the SDK opens a span in `request` and sends the request in `_request`. `_request` is patched there, so that
the SDK's span is open and can be adopted. Older versions call `_request` again for each retry: there, `request` is
patched.
"""

from __future__ import annotations

import inspect
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import SessionRead
from otel_agentcost.integrations.endpoints import session_format_at
from otel_agentcost.integrations.patching import Target, argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.integrations.sdks._stainless import StainlessSeam

FORMATS = {
    "/v1/messages": "anthropic_messages",
    "/v1/messages/batches": "anthropic_batches",
    "/v1/sessions": "anthropic_sessions",
    "/v1/sessions/*/events": "anthropic_sessions",
    "/v1/deployments/*/run": "billed_later",
    "/v1/dreams": "billed_later",
}

PROVIDERS = {
    "BaseBedrockClient": "aws.bedrock",
    "BaseMantleClient": "aws.bedrock",
    "BaseVertexClient": "gcp.vertex_ai",
    "AnthropicFoundry": "azure.ai.inference",
    "AsyncAnthropicFoundry": "azure.ai.inference",
}


class _AnthropicSeam(StainlessSeam):
    """Reads sessions, too."""

    def session_read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SessionRead | None:
        """Return the session that is created or read; None for other calls."""
        url = argument(args, kwargs, 1, "options").url
        form = session_format_at(url)
        return SessionRead(form, self._endpoint(instance, url)) if form is not None else None


_SEAM = _AnthropicSeam(
    "anthropic",
    FORMATS,
    PROVIDERS,
    addressed=("BaseBedrockClient", "BaseVertexClient"),
)


def _patched_method(client: type) -> str:
    """Return `_request` if `request` of this SDK version opens a span and passes it as `call`, else `request`."""
    inner = getattr(client, "_request", None)
    opens_span = inner is not None and "call" in inspect.signature(inspect.unwrap(inner)).parameters
    return "_request" if opens_span else "request"


def _outer_method(client: type) -> str:
    """Return the method in which the SDK's span is not open yet.

    The current span is recorded there, because an unsampled span of the SDK does not say if it has a parent.
    """
    return "request" if _patched_method(client) == "_request" else "(none)"


def _around(owner: str, through: Through) -> Patchable:
    target = Target(module="anthropic._base_client", owner=owner, method=_outer_method, optional=True)
    return Patchable(target=target, seam=_SEAM, through=through)


SDK = Sdk(
    name="anthropic",
    distribution="anthropic",
    oldest="0.51",
    patches=(
        *_SEAM.patches("anthropic._base_client", "SyncAPIClient", _patched_method, Pipeline.call),
        *_SEAM.patches("anthropic._base_client", "AsyncAPIClient", _patched_method, Pipeline.call_async),
        _around("SyncAPIClient", Pipeline.around),
        _around("AsyncAPIClient", Pipeline.around_async),
    ),
)
