"""Batches (OpenAI's and Anthropic's alike): creating one costs nothing yet, and says nothing of what it will cost.

The provider bills a batch as it runs, hours later, where nobody here sees it. So a created batch is unpriced rather
than free, and its results, which may be read many times, are not calls of a model at all.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.fields import get, items, text
from otel_agentcost.wire.format import Change
from otel_agentcost.wire.not_streamed import Uncounted
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.rewriting import Rewritten, kept

_LATER: Final = "a batch is billed as it runs, after it was created"


class Batches:
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for: the model is the first one's of the batch, where the request contains it."""
        first = next(iter(items(body, "requests")), None)
        model = text(body, "model") or text(get(first, "params"), "model")
        return Call(operation="create_batch", model=model, terms=(("processing", "batch"),), body=body)

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """The same request with `change` made in it."""
        return kept(call, path, change)

    def read_response(self, call: Call, response: Any) -> Answer:
        """What the response says: an identity, and nothing that was used."""
        error = None if text(response, "object") == "batch" else error_text(response)
        return Answer(missing=error or _LATER, response_id=text(response, "id"))

    def open_stream(self, call: Call) -> Uncounted:
        """Batches are not created in a stream."""
        return Uncounted(Answer(missing=_LATER))


FORMAT = Batches()
