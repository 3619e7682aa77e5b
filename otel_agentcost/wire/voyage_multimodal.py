"""Voyage's multimodal embeddings: the tokens of texts, and the pixels of images and videos.

Both are billed, each at a price of its own (https://docs.voyageai.com/docs/pricing). `total_tokens` counts pixels as
tokens, so it is no count of what is billed (https://docs.voyageai.com/reference/multimodal-embeddings-api).
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import Malformed, count, get, inside, text
from otel_agentcost.wire.openai_embeddings import Embeddings
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.token_split import Counts, put

__all__ = ["FORMAT"]

_PIXELS = ("image_pixels", "video_pixels")


class Multimodal(Embeddings):
    """The format."""

    prompt_tokens = PromptFields(messages=("inputs",), instructions=())

    def read_response(self, call: Call, response: Any) -> Answer:  # noqa: ARG002 (every format has the same methods)
        """Read a whole response."""
        usage, missing = None, None
        try:
            counted = inside(get(response, "usage"), "usage")
            if counted is None or all(get(counted, name) is None for name in ("text_tokens", *_PIXELS)):
                missing = error_text(response) or "the response counts neither the tokens of texts nor pixels"
            else:
                counts: Counts = {}
                put(counts, "input_tokens", count(counted, "text_tokens"))
                put(counts, "input_pixels", sum(count(counted, name) for name in _PIXELS))
                usage = Usage(counts=counts)
        except Malformed as problem:
            missing = str(problem)
        return Answer(usage=usage, missing=missing, model=text(response, "model"))


FORMAT = Multimodal()
