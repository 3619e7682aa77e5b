"""OpenAI embeddings, and compatible APIs: only input tokens."""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, inside, items, text
from otel_agentcost.wire.format import Format, Rewriting
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_chat import ChatReader, model_in
from otel_agentcost.wire.openai_usage import embedding_usage, error_text, partly_counted, served_terms
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of
from otel_agentcost.wire.reported_costs import in_body
from otel_agentcost.wire.rewriting import NO_OTHER_VECTORS, NoRewriting
from otel_agentcost.wire.usage_names import usage_at

_TABLE: Final[parameters.Table] = {
    "encoding_format": (semconv.REQUEST_ENCODING_FORMATS, parameters.strings),
    "dimensions": (semconv.EMBEDDING_DIMENSIONS, parameters.integer),
}


class Embeddings(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting: Rewriting | None = NoRewriting(NO_OTHER_VECTORS)

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return Call(
            operation=semconv.EMBEDDINGS,
            model=model_in(path) or text(body, "model"),
            max_output_tokens=0,
            parameters=parameters.read(body, _TABLE),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        usage: Usage | None = None
        partial: Partial | None = None
        uncounted: str | None = None
        tier = text(response, "service_tier")
        terms, missing = served_terms(tier)
        found = usage_at(response)
        try:
            counted = inside(found, "usage")
            if counted is None:
                partial = Partial(unpriced=missing, absent=True) if items(response, "data") else None
                missing = error_text(response) or "the response has no usage"
            else:
                usage, uncounted = embedding_usage(counted)
        except Malformed as problem:
            missing, partial = str(problem), partly_counted(found, served_terms(tier)[1], response)
        return Answer(
            usage=usage,
            missing=missing,
            partial=partial,
            uncounted=uncounted,
            model=text(response, "model"),
            terms=terms,
            tier=tier,
            reported=in_body(response, found),
        )

    def open_stream(self, call: Call) -> ChatReader:
        """Return a chat's reader, which estimates the input: embeddings are not streamed."""
        return ChatReader(call, prompt_tokens_of(self))


FORMAT = Embeddings()
