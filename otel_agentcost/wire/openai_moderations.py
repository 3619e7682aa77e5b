"""OpenAI moderations, which are free."""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.fields import text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import NoRewriting


class Moderations(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = NoRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return Call(operation="moderation", model=text(body, "model"), max_output_tokens=0, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a response: it is free."""
        return Answer(model=text(response, "model"), response_id=text(response, "id"), free=True)

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: moderations are not streamed."""
        return NotStreamed(Answer(free=True))


FORMAT = Moderations()
