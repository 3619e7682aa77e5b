"""zai-sdk: chats, embeddings, images and audio of Z.ai. Agents and searches are seen, and unpriced."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._zai import zai_sdk

FORMATS = {
    "/async/chat/completions": "billed_later",
    "/async/images/generations": "billed_later",
    "/chat/completions": "openai_chat",
    "/embeddings": "openai_embeddings",
    "/images/generations": "openai_images",
    "/audio/speech": "openai_audio",
    "/audio/transcriptions": "openai_audio",
    "/videos/generations": "billed_later",
    "/batches": "billed_later",
    "/v1/agents": "no_reader",
    "/web_search": "no_reader",
}

SDK = zai_sdk("zai-sdk", "zai", "zai", FORMATS, oldest="0.1")
