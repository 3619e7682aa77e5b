"""sambanova: chats, completions, embeddings, responses, messages and audio."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/chat/completions": "openai_chat",
    "/completions": "openai_completions",
    "/embeddings": "openai_embeddings",
    "/responses": "openai_responses",
    "/messages": "anthropic_messages",
    "/audio/transcriptions": "openai_audio",
    "/audio/translations": "openai_audio",
}

SDK = stainless_sdk("sambanova", "sambanova", "sambanova", FORMATS, oldest="1.2")
