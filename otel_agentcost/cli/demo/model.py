"""The scripted model behind the demo's server: what it answers, and how many tokens that took.

It is deterministic and keeps no conversation: the reply follows from how often the model has spoken in the
conversation that it is sent, as with a real, stateless provider. Its only memory is the prompt cache.
Wire formats are not its business: `dialects/` translate to `Asked` and from `Answered`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_agentcost.wire.tokenizers import rule_of_thumb

# Not a real vocabulary, although one may be installed: the demo counts alike on every machine.
count_tokens = rule_of_thumb

SMALLEST_CACHED_PROMPT = 1024
"""Tokens below which providers cache nothing."""


class BadRequest(Exception):
    """The request is not one that the model can answer; the text is the provider's error message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """One tool that the model wants called."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says in one turn: text, the tools that it wants called, or both."""

    text: str = ""
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The usage of one turn. `prompt` counts all of the input, cached or not; providers report it in various ways."""

    prompt: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as all wire formats mean it."""

    model: str
    prompt: tuple[str, ...]
    """The texts of the prompt in order, one a message: what is counted, and what a prompt cache compares."""
    turn: int
    """How often the model has spoken before in this conversation."""
    stream: bool = False
    stream_usage: bool = True
    """Whether a streamed answer ends with its usage (OpenAI's chat completions leave it out unless asked)."""
    cache: bool = True
    """Whether this prompt may be cached (Anthropic caches on request only)."""
    cache_block: int = 1
    """Cached prefixes are counted in multiples of so many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One turn of the model, ready to be put into a wire format."""

    id: str
    model: str
    text: str
    tools: tuple[ToolUse, ...]
    tokens: Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The model's part of a conversation, turn by turn; further turns repeat the last."""

    replies: Sequence[Reply]
    usage: Sequence[Tokens] | None = None
    """Recorded usage, one a turn, to be reported instead of the counts of the texts."""


class Cache:
    """A prompt cache: which prompts were seen before, so that prompts that begin with one cost less."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def lookup(self, asked: Asked) -> tuple[int, int]:
        """The tokens of `asked.prompt` that are read from the cache, and those that are now written to it."""
        if not asked.cache:
            return 0, 0
        sizes = [count_tokens(text) for text in asked.prompt]
        with self._lock:
            known = next(
                (length for length in range(len(sizes), 0, -1) if (asked.model, *asked.prompt[:length]) in self._seen),
                0,
            )
            self._seen.add((asked.model, *asked.prompt))
        read = sum(sizes[:known]) if sum(sizes[:known]) >= SMALLEST_CACHED_PROMPT else 0
        read -= read % asked.cache_block
        return read, sum(sizes) - read if sum(sizes) >= SMALLEST_CACHED_PROMPT else 0


@dataclass(slots=True)
class ScriptedModel:
    """Answers what it is asked, following its script."""

    script: Script
    cache: Cache = field(default_factory=Cache)

    def answer(self, asked: Asked) -> Answered:
        """The turn that follows on `asked`."""
        turn = min(asked.turn, len(self.script.replies) - 1)
        reply = self.script.replies[turn]
        tools = tuple(
            ToolUse(id=f"call_{turn + 1}_{number}", name=name, arguments=arguments)
            for number, (name, arguments) in enumerate(reply.tools, start=1)
        )
        return Answered(
            id=f"demo_{turn + 1}",
            model=asked.model,
            text=reply.text,
            tools=tools,
            tokens=self._tokens(asked, turn, reply),
        )

    def _tokens(self, asked: Asked, turn: int, reply: Reply) -> Tokens:
        if self.script.usage is not None:
            return self.script.usage[turn]
        read, write = self.cache.lookup(asked)
        said = [f"{name} {json.dumps(arguments)}" for name, arguments in reply.tools]
        if reply.text:
            said.append(reply.text)
        return Tokens(
            prompt=sum(count_tokens(text) for text in asked.prompt),
            output=sum(count_tokens(text) for text in said),
            cache_read=read,
            cache_write=write,
        )
