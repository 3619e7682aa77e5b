"""groq: chats, embeddings, audio and batches."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/chat/completions": "openai_chat",
    "/embeddings": "openai_embeddings",
    "/audio/transcriptions": "openai_audio",
    "/audio/translations": "openai_audio",
    "/audio/speech": "openai_audio",
    "/batches": "openai_batches",
}

SDK = stainless_sdk("groq", "groq", "groq", FORMATS, oldest="0.30")
