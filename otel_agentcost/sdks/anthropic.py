"""anthropic: the API itself, and its Bedrock, Vertex and Foundry clients.

Since 2.12 the SDK opens a span of its own in `request` and does the work in `_request`: the seam is the inner one
there, so that the SDK's span is open when we look, and is adopted. Older versions call `_request` again for each
retry; their seam is `request`.
"""

from __future__ import annotations

import inspect

from otel_agentcost.patching import Target
from otel_agentcost.sdks._sdk import Patchable, Sdk
from otel_agentcost.sdks._stainless import StainlessSeam

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


def _traces_itself(client: type) -> bool:
    """Whether this SDK's `request` opens a span and hands it on to `_request`."""
    inner = getattr(client, "_request", None)
    return inner is not None and "call" in inspect.signature(inspect.unwrap(inner)).parameters


def _patches(owner: str, kind: str) -> tuple[Patchable, ...]:
    module = "anthropic._base_client"
    inner = Target(module=module, owner=owner, method="_request", applies=_traces_itself)
    outer = Target(module=module, owner=owner, method="request", applies=lambda client: not _traces_itself(client))
    return tuple(Patchable(target=target, seam=_SEAM, kind=kind) for target in (inner, outer))


SDK = Sdk(
    name="anthropic",
    distribution="anthropic",
    patches=(*_patches("SyncAPIClient", "call"), *_patches("AsyncAPIClient", "call_async")),
)
