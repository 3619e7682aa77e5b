"""Requests to models whose format no reader knows: they are seen, and unpriced with the reason.

Their response may say what they cost, but the package does not read it.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import NoRewriting

__all__ = ["FORMAT"]

REASON: Final = "otel-agentcost has no reader for this kind of request"

_EMBEDDINGS: Final = ("embed", "embeddings", "multimodalembeddings", "contextualizedembeddings")
_CHATS: Final = ("chat", "converse", "converse-stream")


class NoReader(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = NoRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read the model and the kind of a request."""
        last = path.rstrip("/").rpartition("/")[2]
        operation = semconv.EMBEDDINGS if last in _EMBEDDINGS else semconv.CHAT if last in _CHATS else _OTHER
        named = text(body, "model") or text(body, "model_id") or _model_in(path)
        return Call(operation=operation, model=named, stream=get(body, "stream") is True, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Return why there is no price."""
        return Answer(missing=error_text(response) or REASON)

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader that reads no event."""
        return NotStreamed(Answer(missing=REASON))


_OTHER: Final = semconv.GENERATE_CONTENT


def _model_in(path: str) -> str | None:
    """Return the model in `/model/NAME/invoke` (Amazon Bedrock) or `/models/NAME:rawPredict` (Vertex AI)."""
    for start in ("/model/", "/models/"):
        named = path.partition(start)[2].partition("/")[0]
        if named:
            return named.partition(":rawPredict")[0].partition(":streamRawPredict")[0]
    return None


FORMAT = NoReader()
