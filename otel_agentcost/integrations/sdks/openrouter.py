"""openrouter: chats, responses, messages, embeddings, reranking, images and audio, at the cost that OpenRouter states.

Calls that make a preset have the path and the body of a call, but run no model.
"""

from __future__ import annotations

from otel_agentcost.integrations.sdks._base import Sdk
from otel_agentcost.integrations.sdks._httpx import speakeasy

FORMATS = {
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
    "/messages": "anthropic_messages",
    "/embeddings": "openai_embeddings",
    "/rerank": "token_rerank",
    "/images": "openai_images",
    "/audio/transcriptions": "openai_audio",
    "/audio/speech": "openai_audio",
    "/batches": "billed_later",
    "/videos": "billed_later",
}

SDK = Sdk(
    name="openrouter",
    distribution="openrouter",
    oldest="1.0",
    patches=speakeasy("openrouter.basesdk", "openrouter", FORMATS, no_call="/presets/"),
)
