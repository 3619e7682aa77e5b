"""OpenAI embeddings, and all who copy them: input tokens alone."""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, count, need, part, text
from otel_agentcost.wire.format import Change
from otel_agentcost.wire.openai_chat import ChatReader, model_in
from otel_agentcost.wire.openai_usage import error_text, provider_cost, served
from otel_agentcost.wire.rewriting import NO_OTHER_VECTORS, Rewritten, kept
from otel_agentcost.wire.token_split import Counts, put

_TABLE: Final[parameters.Table] = {
    "encoding_format": (semconv.REQUEST_ENCODING_FORMATS, parameters.strings),
    "dimensions": (semconv.EMBEDDING_DIMENSIONS, parameters.integer),
}


class Embeddings:
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for."""
        return Call(
            operation=semconv.EMBEDDINGS,
            model=text(body, "model") or model_in(path),
            max_output_tokens=0,
            parameters=parameters.read(body, _TABLE),
            body=body,
        )

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """The same request with `change` made in it."""
        return kept(call, path, change, because=NO_OTHER_VECTORS)

    def read_response(self, call: Call, response: Any) -> Answer:
        """What a whole response says."""
        usage: Usage | None = None
        usd = None
        tier = text(response, "service_tier")
        terms, missing = served(tier)
        try:
            counted = part(response, "usage")
            if counted is None:
                missing = error_text(response) or "the response has no usage"
            else:
                need(counted, "prompt_tokens")
                counts: Counts = {}
                put(counts, "input_tokens", count(counted, "prompt_tokens"))
                usage, usd = Usage(counts=counts), provider_cost(counted)
        except Malformed as problem:
            missing = str(problem)
        return Answer(
            usage=usage, missing=missing, model=text(response, "model"), terms=terms, tier=tier, provider_usd=usd
        )

    def open_stream(self, call: Call) -> ChatReader:
        """Embeddings are not streamed; whatever comes is read like a chat, and comes to an estimate of the input."""
        return ChatReader(call)


FORMAT = Embeddings()
