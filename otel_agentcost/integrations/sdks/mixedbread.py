"""mixedbread: chats, embeddings and reranking. What its stores and documents cost is not seen."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/chat/completions": "openai_chat",
    "/embeddings": "openai_embeddings",
    "/reranking": "token_rerank",
}

SDK = stainless_sdk("mixedbread", "mixedbread", "mixedbread", FORMATS, oldest="0.20")
