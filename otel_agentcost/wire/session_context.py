"""The parts that formats of spoken sessions share (OpenAI realtime, Gemini live): the input of a turn.

The body of a request is an object with the event, the configuration of the session, and the `Context`: the tokens that
the session has counted up to now.
"""

# ruff: noqa: ARG002 (every facet has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final, NamedTuple

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import get
from otel_agentcost.wire.openai_chat import joined
from otel_agentcost.wire.token_split import Counts, output_kind, put
from otel_agentcost.wire.tokenizers import count_text

__all__ = ["CONTEXT_TOKENS", "SOUND", "Context", "by_medium", "estimated"]

PER_CALL: Final = 64
"""Tokens around the whole conversation: OpenAI says that special tokens add a few to each message."""
PER_IMAGE: Final = 50_000
"""The allowance for an image of any size, as in `input_bound`."""
_BYTES_PER_TOKEN: Final = 4


class Context(NamedTuple):
    """The conversation that a response gets as its input, as far as the session has shown it."""

    text: int = 0
    """Text tokens that the last response has counted."""
    audio: int = 0
    image: int = 0
    added_bytes: int = 0
    """Bytes of text that are not counted yet: instructions, tools, items."""
    added_audio: int = 0
    """Tokens of sound that are not counted yet."""
    added_images: int = 0

    @property
    def bound(self) -> int:
        """The tokens that the provider cannot exceed: a token of text is at least a byte."""
        images = self.image + self.added_images * PER_IMAGE
        return PER_CALL + self.text + self.audio + self.added_bytes + self.added_audio + images

    @property
    def sounds(self) -> bool:
        """True if there is sound in the conversation."""
        return self.audio + self.added_audio > 0

    def estimate(self) -> Counts:
        """Return the tokens by kind, of which none is taken for cached."""
        counts: Counts = {}
        put(counts, "input_tokens", self.text + -(-self.added_bytes // _BYTES_PER_TOKEN))
        put(counts, "input_audio_tokens", self.audio + self.added_audio)
        put(counts, "input_image_tokens", self.image)
        return counts


class _ContextTokens:
    """The facet `prompt_tokens`."""

    def count(self, body: Any, model: str | None, *, raw: bool = False) -> int:
        """Estimate the input. `raw` doubts a count of zero, which a turn that was interrupted at once may have."""
        context: Context = get(body, "context") or Context()
        return 0 if raw else int(sum(context.estimate().values()))


CONTEXT_TOKENS: Final = _ContextTokens()


SOUND: Final = "agentcost.sound"
"""The field of the event that stands for sound, which is measured and not kept: its tokens."""


def by_medium(usage: Usage | None) -> dict[str, AttributeValue]:
    """Return the span attributes with the tokens of sound, images and video, by kind."""
    if usage is None:
        return {}
    return {
        f"{semconv.USAGE_OF_KIND}{kind}": int(number)
        for kind, number in usage.counts.items()
        if "tokens" in kind and ("audio" in kind or "image" in kind or "video" in kind)
    }


def estimated(call: Call, texts: list[str], sound: int) -> Usage:
    """Return the usage of a turn that reports none.

    Args:
        call: The request.
        texts: What the model has said.
        sound: The tokens of the sound that it has made.
    """
    context: Context = get(call.body, "context") or Context()
    counts = context.estimate()
    put(counts, "output_tokens", count_text(joined(texts), call.model))
    put(counts, output_kind("audio"), sound)
    return Usage(counts=counts, estimated=True)
