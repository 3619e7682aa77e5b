"""Gemini's explicit caches: creating one costs its tokens as input, and then their storage by the hour.

The price book has no price for storage, so the cost is a lower bound, and the reason names what is missing
(https://ai.google.dev/gemini-api/docs/caching).
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import Malformed, count, get, text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.gemini.requests import either, last_segment
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import NoRewriting

__all__ = ["FORMAT"]

_STORAGE: Final = "a cache is billed by the hour that it is stored, which is not priced"


class Caches(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = NoRewriting("a cache is for one model")

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        model = last_segment(text(body, "model"))
        return Call(operation="create_cache", model=model, max_output_tokens=0, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read the cache that was created."""
        named = text(response, "name")
        used = either(response, "usageMetadata")
        model = last_segment(text(response, "model"))
        try:
            written = _tokens(used, "totalTokenCount", "total_token_count")
            heard = _tokens(used, "audioDurationSeconds", "audio_duration_seconds")
        except Malformed as problem:
            return Answer(missing=str(problem), model=model, response_id=named)
        if not written:
            missing = error_text(response) if named is None else None
            return Answer(missing=missing or _STORAGE, model=model, response_id=named)
        usage = Usage(
            counts={"cache_write_tokens": written}, unsplit=("input_audio_tokens",) if heard else ()
        )  # sound has a price of its own, and its tokens are not counted apart
        stored = f"{written} cached tokens are billed by the hour that they are stored{_until(response)}"
        return Answer(usage=usage, uncounted=f"{stored}, which is not priced", model=model, response_id=named)

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: creating a cache is not streamed."""
        return NotStreamed(Answer(missing=_STORAGE))


def _tokens(used: Any, name: str, other: str) -> int:
    return count(used, name if get(used, name) is not None else other)


def _until(response: Any) -> str:
    expires = either(response, "expireTime")
    return f" (until {expires[:30]})" if isinstance(expires, str) and expires else ""


FORMAT = Caches()
