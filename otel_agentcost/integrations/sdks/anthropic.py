"""anthropic: the API itself, and its Bedrock, Vertex and Foundry clients.

Since 2.12 the SDK opens a span of its own in `request` and does the work in `_request`: the seam is the inner one
there, so that the SDK's span is open when we look, and is adopted. Older versions call `_request` again for each
retry; their seam is `request`.
"""

from __future__ import annotations

import inspect

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.integrations.sdks._stainless import StainlessSeam

FORMATS = {
    "/v1/messages": "anthropic_messages",
    "/v1/messages/batches": "anthropic_batches",
}

PROVIDERS = {
    "BaseBedrockClient": "aws.bedrock",
    "BaseVertexClient": "gcp.vertex_ai",
    "AnthropicFoundry": "azure.ai.inference",
    "AsyncAnthropicFoundry": "azure.ai.inference",
}


_SEAM = StainlessSeam("anthropic", FORMATS, PROVIDERS)


def _seam_of(client: type) -> str:
    """`_request` where this SDK's `request` opens a span and hands it on as `call`; else `request`."""
    inner = getattr(client, "_request", None)
    traces_itself = inner is not None and "call" in inspect.signature(inspect.unwrap(inner)).parameters
    return "_request" if traces_itself else "request"


def _outside_of(client: type) -> str:
    """Where the SDK's own span is not open yet: that span alone, unsampled, does not tell whether it has a parent."""
    return "request" if _seam_of(client) == "_request" else "not there"


def _around(owner: str, through: Through) -> Patchable:
    target = Target(module="anthropic._base_client", owner=owner, method=_outside_of, optional=True)
    return Patchable(target=target, seam=_SEAM, through=through)


SDK = Sdk(
    name="anthropic",
    distribution="anthropic",
    oldest="0.51",
    patches=(
        *_SEAM.patches("anthropic._base_client", "SyncAPIClient", _seam_of, Pipeline.call),
        *_SEAM.patches("anthropic._base_client", "AsyncAPIClient", _seam_of, Pipeline.call_async),
        _around("SyncAPIClient", Pipeline.around),
        _around("AsyncAPIClient", Pipeline.around_async),
    ),
)
