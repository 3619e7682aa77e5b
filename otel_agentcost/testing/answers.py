"""The values of a fake model, in no provider's format: requests that it reads, and answers that it writes.

`dialects/` translate between these values and the JSON of each provider. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

__all__ = ["Answer", "BadRequest", "Failure", "ModelRequest", "Tokens", "ToolCall", "Turn"]


class BadRequest(Exception):
    """A request that no provider would accept; the text is the provider's error message."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool that the model calls.

    Args:
        name: The name of the tool.
        arguments: The arguments, which must be JSON values.
        id: The id of the call; by default `call_` with the number of the answer and of the call in it.

    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model: text, tool calls or both, with its usage.

    Args:
        text: The text; empty for an answer that only calls tools.
        tools: The tools that the model calls.
        input_tokens: All tokens of the prompt, cached ones included; None counts them by a rule of thumb.
        output_tokens: All tokens of the answer, reasoning included; None counts them by a rule of thumb.
        cache_read_tokens: How many of `input_tokens` were read from the prompt cache.
        cache_write_tokens: How many of `input_tokens` were written to it (Anthropic alone reports them).
        reasoning_tokens: How many of `output_tokens` were spent on reasoning (Anthropic does not report them).
        model: The model that served the call; None is the one that the request names.

    Example:
        Answer("Forty-two.", input_tokens=1000, output_tokens=5)

    """

    text: str = ""
    _: KW_ONLY
    tools: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One error response of the provider. The SDK raises its own exception for it, and may retry before.

    Args:
        status: The HTTP status, such as 429.
        message: The provider's message.
        headers: Further response headers, such as `{"retry-after": "0"}`.

    """

    status: int = 500
    message: str = "The model is not available."
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The usage of one answer. `prompt` counts all of the input, cached or not; providers report it in various ways."""

    prompt: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request, as all wire formats mean it."""

    model: str
    prompt: tuple[str, ...]
    """The texts of the prompt in order, one for each message: a model counts them, and a prompt cache compares them."""
    turn: int
    """How often the model has spoken before in this conversation."""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The request's JSON, as the SDK sent it."""
    stream: bool = False
    stream_usage: bool = True
    """Whether a streamed answer ends with its usage (OpenAI's chat completions need a request option for it)."""
    cache: bool = True
    """Whether this prompt may be cached (Anthropic caches on request only)."""
    cache_block: int = 1
    """Cached prefixes are counted in multiples of so many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of the model with every value filled in, ready to be put into a wire format."""

    id: str
    model: str
    text: str
    tools: tuple[ToolCall, ...]
    tokens: Tokens
