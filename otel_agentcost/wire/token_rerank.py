"""Reranking that is billed by the token: Voyage (https://docs.voyageai.com/reference/reranker-api) and Mixedbread."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.wire.openai_embeddings import Embeddings
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import ModelRewriting

__all__ = ["FORMAT"]

RERANK: Final = "rerank"


class TokenRerank(Embeddings):
    """The format: the usage of embeddings, and another model can answer."""

    prompt_tokens = PromptFields(messages=("query", "documents", "input"), instructions=())
    rewriting = ModelRewriting()  # type: ignore[assignment]

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return super().read_request(body, path)._replace(operation=RERANK)


FORMAT = TokenRerank()
