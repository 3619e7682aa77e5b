"""xAI's images and videos, which are billed by the image and by the second: the response states the cost.

A video is made after its request. Its retrieval has the cost
(https://docs.x.ai/developers/cost-tracking).
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.reported_costs import in_body
from otel_agentcost.wire.rewriting import ModelRewriting

__all__ = ["FORMAT"]


class Media(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = ModelRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        pictures = get(body, "n")
        return Call(
            operation=semconv.GENERATE_CONTENT,
            model=text(body, "model"),
            choices=pictures if type(pictures) is int else 1,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a response: the id of a video to come, or what was made and its cost."""
        if (later := text(response, "request_id")) is not None:
            return Answer(missing="the video is made after its request", goes_on=True, response_id=later)
        usage = get(response, "usage")
        missing = error_text(response) or "the response does not say what it cost"
        return Answer(missing=missing, model=text(response, "model"), reported=in_body(response, usage))

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: it is not streamed."""
        return NotStreamed(self.read_response(call, None))


FORMAT = Media()
