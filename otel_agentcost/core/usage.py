"""The usage of a call, in counts that never overlap.

Providers report overlapping numbers (cached tokens within input, reasoning within output). The wire readers split
them: here every token, second, image or search is counted under exactly one `Kind` and billed exactly once. A kind
means "of this kind, and of no more special one": `input_tokens` are the input tokens that are neither cached, nor
audio, nor of any other special kind.

The names are those of the genai-prices unit registry (a test holds the two equal), with disjoint meaning. The seconds
that a machine of the user's own computes are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

from otel_agentcost.core import money

Kind = Literal[
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_text_tokens",
    "output_text_tokens",
    "cache_text_read_tokens",
    "cache_text_write_tokens",
    "cache_text_write_5m_tokens",
    "cache_text_write_1h_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_audio_read_tokens",
    "cache_audio_write_tokens",
    "cache_audio_write_5m_tokens",
    "cache_audio_write_1h_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "cache_image_read_tokens",
    "cache_image_write_tokens",
    "cache_image_write_5m_tokens",
    "cache_image_write_1h_tokens",
    "input_video_tokens",
    "output_video_tokens",
    "cache_video_read_tokens",
    "cache_video_write_tokens",
    "cache_video_write_5m_tokens",
    "cache_video_write_1h_tokens",
    "input_tool_tokens",
    "input_text_tool_tokens",
    "input_audio_tool_tokens",
    "input_image_tool_tokens",
    "input_video_tool_tokens",
    "output_reasoning_tokens",
    "output_text_reasoning_tokens",
    "output_audio_reasoning_tokens",
    "output_image_reasoning_tokens",
    "output_video_reasoning_tokens",
    "output_citation_tokens",
    "output_text_citation_tokens",
    "output_audio_citation_tokens",
    "output_image_citation_tokens",
    "output_video_citation_tokens",
    "input_characters",
    "input_text_messages",
    "audio_seconds",
    "input_audio_seconds",
    "output_audio_seconds",
    "input_pixels",
    "input_document_pages",
    "input_annotated_document_pages",
    "rerank_searches",
    "web_searches",
    "social_searches",
    "storage_searches",
    "code_executions",
    "requests",
    "compute_seconds",
]

Count = int | Decimal
"""An integer for things that are counted; a `Decimal` for quantities that are measured (seconds of audio)."""

Dimensions = frozenset[tuple[str, str]]

_FAMILIES: Mapping[str, str] = {
    "tokens": "tokens",
    "characters": "characters",
    "messages": "messages",
    "seconds": "durations",
    "pixels": "pixels",
    "pages": "document_pages",
    "requests": "requests",
}
"""The unit family of a kind, by the last word of its name."""

_QUALIFIERS: Mapping[str, tuple[str, str]] = {
    "input": ("direction", "input"),
    "output": ("direction", "output"),
    "cache": ("direction", "input"),
    "read": ("token_type", "cache_read"),
    "write": ("token_type", "cache_write"),
    "5m": ("cache_ttl", "5m"),
    "1h": ("cache_ttl", "1h"),
    "tool": ("token_type", "tool"),
    "reasoning": ("token_type", "reasoning"),
    "citation": ("token_type", "citation"),
    "text": ("modality", "text"),
    "audio": ("modality", "audio"),
    "image": ("modality", "image"),
    "video": ("modality", "video"),
    "annotated": ("page_type", "annotated"),
}
"""The dimension that each further word of a name adds. `document` adds none: all pages are document pages."""

_PROVIDER_TOOLS: Mapping[str, Dimensions] = {
    "rerank_searches": frozenset({("family", "rerank")}),
    "web_searches": frozenset({("family", "tool_calls"), ("tool_type", "web_search")}),
    "social_searches": frozenset({("family", "tool_calls"), ("tool_type", "social_search")}),
    "storage_searches": frozenset({("family", "tool_calls"), ("tool_type", "storage_search")}),
    "code_executions": frozenset({("family", "tool_calls"), ("tool_type", "code_execution")}),
    "compute_seconds": frozenset({("family", "compute")}),
}
"""Kinds that count what a provider executed, or how long: their names are not made of the words above."""


def _dimensions(kind: Kind) -> Dimensions:
    if kind in _PROVIDER_TOOLS:
        return _PROVIDER_TOOLS[kind]
    *qualifiers, unit = kind.split("_")
    return frozenset({("family", _FAMILIES[unit]), *(_QUALIFIERS[word] for word in qualifiers if word != "document")})


_KINDS: tuple[Kind, ...] = get_args(Kind)

DIMENSIONS: Mapping[Kind, Dimensions] = {kind: _dimensions(kind) for kind in _KINDS}
"""The meaning of each kind. A kind whose dimensions contain another kind's dimensions is a special case of it."""

KINDS: frozenset[str] = frozenset(_KINDS)


def _kinds(**wanted: str) -> frozenset[Kind]:
    return frozenset(kind for kind, dimensions in DIMENSIONS.items() if dimensions >= frozenset(wanted.items()))


INPUT_TOKENS = _kinds(family="tokens", direction="input")
OUTPUT_TOKENS = _kinds(family="tokens", direction="output")
CACHE_READ_TOKENS = _kinds(family="tokens", token_type="cache_read")
CACHE_WRITE_TOKENS = _kinds(family="tokens", token_type="cache_write")
REASONING_TOKENS = _kinds(family="tokens", token_type="reasoning")


_INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE, _REASONING = 1, 2, 4, 8, 16
_ROLES: Mapping[str, int] = {
    kind: _INPUT * (kind in INPUT_TOKENS)
    | _OUTPUT * (kind in OUTPUT_TOKENS)
    | _CACHE_READ * (kind in CACHE_READ_TOKENS)
    | _CACHE_WRITE * (kind in CACHE_WRITE_TOKENS)
    | _REASONING * (kind in REASONING_TOKENS)
    for kind in DIMENSIONS
}


class Tokens(NamedTuple):
    """The sums that the GenAI conventions name. The first two include the other three."""

    input: int = 0
    """All input tokens, cached ones included (`gen_ai.usage.input_tokens`)."""
    output: int = 0
    """All output tokens, reasoning included (`gen_ai.usage.output_tokens`)."""
    cache_read: int = 0
    """Input tokens that were read from a cache, whatever their modality."""
    cache_write: int = 0
    """Input tokens that were written to a cache, whatever their time to live and modality."""
    reasoning: int = 0
    """Reasoning tokens: output tokens that are not part of the visible answer."""


NO_TOKENS = Tokens()


def plus(left: Count, right: Count) -> Count:
    """Add two counts exactly, whatever decimal context the application has set."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    return money.wide_add(left, right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The disjoint counts of one model call.

    `counts` holds the kinds that occurred, each with a positive count; a kind that is absent is zero.

    `unsplit` names kinds that the provider did not count although it counted kinds that overlap them (cached tokens and
    audio tokens, but not cached audio tokens). The counts are then one possible split. A price list that has one price
    for the kinds is still exact; one with separate prices is not applied.

    `estimated` is true if the provider reported no usage and the tokens were counted by this package.
    """

    counts: Mapping[Kind, Count]
    unsplit: tuple[Kind, ...] = ()
    estimated: bool = False
    silent: bool = field(default=False, compare=False)
    """True if the usage has no field for cached tokens where its provider usually has one: they may not be zero."""
    _tokens: Tokens | None = field(default=None, init=False, repr=False, compare=False)
    """The sums, once they are needed: a stream with a budget needs them several times."""

    @classmethod
    def summed(cls, counts: Mapping[Kind, Count], sums: Tokens, *, silent: bool = False) -> Usage:
        """Return the usage with these counts, whose sums the caller knows: `tokens` need not add them up."""
        usage = cls(counts=counts, silent=silent)
        object.__setattr__(usage, "_tokens", sums)
        return usage

    def total(self, kinds: Iterable[Kind]) -> Count:
        """Return the sum over `kinds`."""
        counts = self.counts
        total: Count = 0
        for kind in kinds:
            if kind in counts:
                total = plus(total, counts[kind])
        return total

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached ones included (the meaning of `gen_ai.usage.input_tokens`)."""
        return self.tokens().input

    @property
    def output_tokens(self) -> int:
        """All output tokens, reasoning included (the meaning of `gen_ai.usage.output_tokens`)."""
        return self.tokens().output

    @property
    def cache_read_tokens(self) -> int:
        """Input tokens that were read from a cache, whatever their modality."""
        return self.tokens().cache_read

    @property
    def cache_write_tokens(self) -> int:
        """Input tokens that were written to a cache, whatever their time to live and modality."""
        return self.tokens().cache_write

    @property
    def reasoning_tokens(self) -> int:
        """Reasoning tokens: output tokens that are not part of the visible answer."""
        return self.tokens().reasoning

    def tokens(self) -> Tokens:
        """Return all five sums, computed in one pass: every call needs them."""
        if self._tokens is not None:
            return self._tokens
        read = write = reasoning = input_tokens = output_tokens = 0
        for kind, count in self.counts.items():
            roles = _ROLES[kind]
            if not roles:
                continue
            tokens = int(count)
            if roles & _INPUT:
                input_tokens += tokens
            else:
                output_tokens += tokens
            if roles <= _OUTPUT:  # plain tokens
                continue
            if roles & _CACHE_READ:
                read += tokens
            elif roles & _CACHE_WRITE:
                write += tokens
            elif roles & _REASONING:
                reasoning += tokens
        sums = Tokens(input_tokens, output_tokens, read, write, reasoning)
        object.__setattr__(self, "_tokens", sums)
        return sums

    def __add__(self, other: Usage) -> Usage:
        counts: dict[Kind, Count] = dict(self.counts)
        for kind, count in other.counts.items():
            counts[kind] = plus(counts.get(kind, 0), count)
        unsplit: tuple[Kind, ...] = (*self.unsplit, *(kind for kind in other.unsplit if kind not in self.unsplit))
        silent = self.silent or other.silent
        return Usage(counts=counts, unsplit=unsplit, estimated=self.estimated or other.estimated, silent=silent)


NOTHING = Usage(counts={})
