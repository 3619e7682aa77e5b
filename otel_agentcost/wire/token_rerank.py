"""Reranking that is billed by the token: Voyage (https://docs.voyageai.com/reference/reranker-api) and Mixedbread."""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Call
from otel_agentcost.wire.cohere_rerank import RERANK
from otel_agentcost.wire.format import Rewriting
from otel_agentcost.wire.openai_embeddings import Embeddings
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import ModelRewriting

__all__ = ["FORMAT"]


class TokenRerank(Embeddings):
    """The format: the usage of embeddings, and another model can answer."""

    prompt_tokens = PromptFields(messages=("query", "documents", "input"), instructions=())
    rewriting: Rewriting | None = ModelRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return super().read_request(body, path)._replace(operation=RERANK)


FORMAT = TokenRerank()
