"""openai 1.x to 3.x: OpenAI, Azure, and every OpenAI-compatible `base_url`."""

from __future__ import annotations

from otel_agentcost.patching import Target
from otel_agentcost.sdks._sdk import Patchable, Sdk
from otel_agentcost.sdks._stainless import StainlessSeam

FORMATS = {
    "/chat/completions": "openai_chat",
    "/completions": "openai_completions",
    "/responses": "openai_responses",
    "/responses/compact": "openai_responses",
    "/embeddings": "openai_embeddings",
    "/images/generations": "openai_images",
    "/images/edits": "openai_images",
    "/images/variations": "openai_images",
    "/audio/transcriptions": "openai_audio",
    "/audio/translations": "openai_audio",
    "/audio/speech": "openai_audio",
    "/moderations": "openai_moderations",
    "/batches": "openai_batches",
}

_SEAM = StainlessSeam("openai", FORMATS, {"BaseAzureClient": "azure.ai.openai"})

SDK = Sdk(
    name="openai",
    distribution="openai",
    patches=(
        Patchable(target=Target(module="openai._base_client", owner="SyncAPIClient", method="request"), seam=_SEAM),
        Patchable(
            target=Target(module="openai._base_client", owner="AsyncAPIClient", method="request"),
            seam=_SEAM,
            kind="call_async",
        ),
    ),
)
