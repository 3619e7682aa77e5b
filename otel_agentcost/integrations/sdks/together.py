"""together 2 and newer: chats, completions, embeddings, images and audio; tuning is unpriced."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/chat/completions": "openai_chat",
    "/completions": "openai_completions",
    "/embeddings": "openai_embeddings",
    "/images/generations": "openai_images",
    "/audio/speech": "openai_audio",
    "/audio/transcriptions": "openai_audio",
    "/audio/translations": "openai_audio",
    "/batches": "openai_batches",
    "/fine-tunes": "billed_later",
}

SDK = stainless_sdk("together", "together", "together", FORMATS, oldest="2.0")
