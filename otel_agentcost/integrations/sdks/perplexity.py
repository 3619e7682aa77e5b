"""perplexityai: Sonar's chats, responses of agents, embeddings and decisions. Searches are seen, and unpriced."""

from __future__ import annotations

from otel_agentcost.integrations.sdks._stainless import stainless_sdk

FORMATS = {
    "/async/chat/completions": "billed_later",
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
    "/decisions": "openai_responses",
    "/embeddings": "openai_embeddings",
    "/contextualizedembeddings": "openai_embeddings",
    "/batches": "billed_later",
    "/search": "no_reader",
}

SDK = stainless_sdk("perplexityai", "perplexity", "perplexity", FORMATS, oldest="0.22")
