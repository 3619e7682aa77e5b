"""mistralai 1 to 3: Mistral's API, and its clients for Azure and Google Cloud."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._base import Sdk
from otel_agentcost.integrations.sdks._httpx import speakeasy

FORMATS = {
    "/chat/completions": "openai_chat",
    "/agents/completions": "openai_chat",
    "/fim/completions": "openai_chat",
    "/embeddings": "openai_embeddings",
    "/audio/transcriptions": "openai_audio",
    "/audio/speech": "openai_audio",
    "/ocr": "mistral_ocr",
    "/conversations": "mistral_conversations",
    "/conversations/*": "mistral_conversations",
    "/conversations/*/restart": "mistral_conversations",
    "/batch/jobs": "mistral_batches",
    "/fine_tuning/jobs": "billed_later",
}


SDK = Sdk(
    name="mistralai",
    distribution="mistralai",
    oldest="2.0",
    patches=(
        *speakeasy("mistralai.client.basesdk", "mistral_ai", FORMATS, optional=True),
        *speakeasy("mistralai.azure.client.basesdk", "azure.ai.inference", FORMATS, optional=True),
        *speakeasy("mistralai.gcp.client.basesdk", "gcp.vertex_ai", FORMATS, optional=True),
        *speakeasy("mistralai.basesdk", "mistral_ai", FORMATS, optional=True),  # version 1
        *speakeasy("mistralai_azure.basesdk", "azure.ai.inference", FORMATS, optional=True),
        *speakeasy("mistralai_gcp.basesdk", "gcp.vertex_ai", FORMATS, optional=True),
    ),
)
