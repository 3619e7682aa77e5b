"""Cohere's rerank, versions 1 and 2: billed by the search (https://docs.cohere.com/reference/rerank)."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import Malformed, count, get, part, text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import ModelRewriting
from otel_agentcost.wire.token_split import Counts, put

__all__ = ["FORMAT"]

RERANK: Final = "rerank"


class Rerank(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PromptFields(messages=(), instructions=())
    rewriting = ModelRewriting()

    def read_request(self, body: Any, path: str) -> Call:  # noqa: ARG002 (every format has the same methods)
        """Read a request."""
        return Call(operation=RERANK, model=text(body, "model"), max_output_tokens=0, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:  # noqa: ARG002 (every format has the same methods)
        """Read a response."""
        named = text(response, "id")
        try:
            billed = part(get(response, "meta"), "billed_units")
            counts: Counts = {}
            put(counts, "rerank_searches", count(billed, "search_units"))
        except Malformed as problem:
            return Answer(missing=str(problem), response_id=named)
        if not counts:
            return Answer(missing=error_text(response) or "the response has no usage", response_id=named)
        return Answer(usage=Usage(counts=counts), response_id=named)

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: rerank is not streamed."""
        return NotStreamed(self.read_response(call, None))


FORMAT = Rerank()
