"""openai 1.x to 3.x: OpenAI, Azure, and every OpenAI-compatible `base_url`."""

from __future__ import annotations

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.sdks._base import Sdk
from otel_agentcost.integrations.sdks._stainless import StainlessSeam

FORMATS = {
    "/chat/completions": "openai_chat",
    "/agents/completions": "openai_chat",
    "/completions": "openai_completions",
    "/responses": "openai_responses",
    "/responses/compact": "openai_responses",
    "/decisions": "openai_responses",
    "/embeddings": "openai_embeddings",
    "/images/generations": "openai_images",
    "/images/edits": "openai_images",
    "/images/variations": "openai_images",
    "/audio/transcriptions": "openai_audio",
    "/audio/translations": "openai_audio",
    "/audio/speech": "openai_audio",
    "/moderations": "openai_moderations",
    "/batches": "openai_batches",
    "/ocr": "mistral_ocr",
    "/threads/runs": "openai_runs",
    "/threads/*/runs": "openai_runs",
    "/agents/sessions": "billed_later",
    "/agents/sessions/*/events": "billed_later",
    "/agents/automations/*/invocations": "billed_later",
    "/videos": "videos",
    "/videos/edits": "videos",
    "/videos/extensions": "videos",
    "/videos/*/remix": "videos",
    "/fine_tuning/jobs": "billed_later",
    "/fine_tuning/alpha/graders/run": "billed_later",
    "/evals/*/runs": "billed_later",
}

PROVIDERS = {
    "BaseAzureClient": "azure.ai.openai",
    "BedrockOpenAI": "aws.bedrock",
    "AsyncBedrockOpenAI": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
}
"""Providers by client class, and by the name of `OpenAI(provider=...)`."""

DEPLOYED = (
    "/completions",
    "/chat/completions",
    "/embeddings",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
    "/images/generations",
    "/images/edits",
)
"""The paths to which the SDK's Azure clients add the deployment. On others, the model in the body decides."""

_SEAM = StainlessSeam(
    "openai",
    FORMATS,
    PROVIDERS,
    addressed=("BaseAzureClient",),
    deployed=DEPLOYED,
)

SDK = Sdk(
    name="openai",
    distribution="openai",
    oldest="1.66",
    patches=(
        *_SEAM.patches("openai._base_client", "SyncAPIClient", "request", Pipeline.call),
        *_SEAM.patches("openai._base_client", "AsyncAPIClient", "request", Pipeline.call_async),
    ),
)
