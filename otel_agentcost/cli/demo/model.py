"""The scripted model behind the demo's server: what it answers, and how many tokens that took.

It is deterministic and keeps no conversation: the reply follows from how often the model has spoken in the
conversation that it is sent, as with a real, stateless provider. Its only memory is the prompt cache.
Wire formats are not its business: `otel_agentcost.testing` has them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_agentcost.testing.answers import ModelRequest, Tokens, ToolCall, Turn
from otel_agentcost.wire.tokenizers import rule_of_thumb

# Not a real vocabulary, although one may be installed: the demo counts alike on every machine.
count_tokens = rule_of_thumb

SMALLEST_CACHED_PROMPT = 1024
"""Tokens below which providers cache nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the model: text, tool calls, or both."""

    text: str = ""
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()


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

    def lookup(self, request: ModelRequest) -> tuple[int, int]:
        """The tokens of `request.prompt` that are read from the cache, and those that are now written to it."""
        if not request.cache:
            return 0, 0
        sizes = [count_tokens(text) for text in request.prompt]
        with self._lock:
            known = next(
                (
                    length
                    for length in range(len(sizes), 0, -1)
                    if (request.model, *request.prompt[:length]) in self._seen
                ),
                0,
            )
            self._seen.add((request.model, *request.prompt))
        read = sum(sizes[:known]) if sum(sizes[:known]) >= SMALLEST_CACHED_PROMPT else 0
        read -= read % request.cache_block
        return read, sum(sizes) - read if sum(sizes) >= SMALLEST_CACHED_PROMPT else 0


@dataclass(slots=True)
class ScriptedModel:
    """Answers what it is request, following its script."""

    script: Script
    cache: Cache = field(default_factory=Cache)

    def answer(self, request: ModelRequest) -> Turn:
        """The turn that follows on `request`."""
        turn = min(request.turn, len(self.script.replies) - 1)
        reply = self.script.replies[turn]
        tools = tuple(
            ToolCall(name, arguments, f"call_{turn + 1}_{number}")
            for number, (name, arguments) in enumerate(reply.tools, start=1)
        )
        return Turn(
            id=f"demo_{turn + 1}",
            model=request.model,
            text=reply.text,
            tools=tools,
            tokens=self._tokens(request, turn, reply),
        )

    def _tokens(self, request: ModelRequest, turn: int, reply: Reply) -> Tokens:
        if self.script.usage is not None:
            return self.script.usage[turn]
        read, write = self.cache.lookup(request)
        said = [f"{name} {json.dumps(arguments)}" for name, arguments in reply.tools]
        if reply.text:
            said.append(reply.text)
        return Tokens(
            prompt=sum(count_tokens(text) for text in request.prompt),
            output=sum(count_tokens(text) for text in said),
            cache_read=read,
            cache_write=write,
        )
