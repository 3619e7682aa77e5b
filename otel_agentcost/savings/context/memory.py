"""The memory of the hook: what is known of conversations with long histories, by the requests they have made.

A state is immutable, and found only by requests that begin with the very same messages, under the same instructions and
tools, of the same model, user, tenant and agent. Each request makes a state of its own: two that branch off from one
another never share what a hook has returned for one of them. Of the messages of the application nothing is kept: a
state says which of them are left out, and has the texts that a hook has put in their place.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from otel_agentcost.core import semconv
from otel_agentcost.guard import forks
from otel_agentcost.savings.prompt_cache.segments import system_of, tools_of
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.fields import entries
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.history import History, Source, digest_of, size_of

MOST: Final = 64
"""Conversations that are remembered."""
MOST_CHARACTERS: Final = 16_000_000
"""Characters of texts that are kept for all of them."""


class State(NamedTuple):
    """The facts of a conversation after one of its requests."""

    calls: int = 0
    tokens: int = 0
    """Those of the last request, as it was sent."""
    asked_at: int = 0
    """The tokens that were left when the hook was last asked."""
    reported: tuple[int, int] | None = None
    """The input tokens that the last answer counts, and the characters of the messages that were sent for it."""
    rate: float = 0.0
    """Tokens for each character, by a count of the text."""
    cached: bool = False
    """True if the last answer used a prompt cache."""
    replaced: int = 0
    """How many messages after the instructions are replaced."""
    shorter: tuple[Source, ...] = ()
    """What they are replaced by: some of them, by their places after the instructions, and new messages."""
    weight: int = 0
    """The characters of the new messages."""
    refused: bool = False
    """True if the provider has refused what was shortened: the conversation is left alone."""


def weight_of(shorter: Sequence[Source]) -> int:
    """Return the characters of the new messages."""
    return sum(size_of(each) for each in shorter if not isinstance(each, int))


def marks_of(request: ModelRequest, history: History, record: Record) -> list[bytes]:
    """Return what identifies the messages up to each place, what stands before them, and who has sent them."""
    body, who, call = entries(request.call.body), record.attribution, request.call
    lead = history.messages[: history.lead]
    names = [who.get(name) for name in (semconv.USER, semconv.TENANT, semconv.AGENT)]
    named = [request.endpoint.provider, type(request.format).__qualname__, history.field, call.operation, call.model]
    others = [body.get(name) for name in ("prompt", "thread", "cachedContent")]
    before = digest_of([names, named, others, system_of(body), list(tools_of(body)), lead])
    return list(_chained(before, history.messages[history.lead :]))


def _chained(before: bytes, messages: Sequence[Any]) -> Iterator[bytes]:
    chain = hashlib.blake2b(before, digest_size=16)
    for message in messages:
        chain.update(digest_of(message))
        yield chain.copy().digest()


class Memory:
    """The conversations that are remembered, the oldest first. Thread-safe."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._known: dict[bytes, State] = {}
        self._weight = 0
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def find(self, marks: Sequence[bytes]) -> tuple[bytes | None, State]:
        """Return the state after the longest beginning that is known, and its mark; a new one if none is."""
        with self._lock:
            for mark in reversed(marks):
                if (found := self._known.get(mark)) is not None:
                    return mark, found
        return None, State()

    def move(self, found: tuple[bytes | None, State], mark: bytes, state: State) -> None:
        """Remember a state that follows from another one, and forget that one: a conversation has one state."""
        with self._lock:
            before, old = found
            if before is not None and self._known.get(before) is old:
                self._drop(before)
            self._put(mark, state)

    def change(self, mark: bytes, before: State, state: State) -> bool:
        """Change a state, unless there is another one in its place. Returns True if it is changed."""
        with self._lock:
            if self._known.get(mark) is not before:
                return False
            self._put(mark, state)
            return True

    def add(self, mark: bytes, state: State) -> None:
        """Remember a state, unless there is one in its place."""
        with self._lock:
            if mark not in self._known:
                self._put(mark, state)

    def _put(self, mark: bytes, state: State) -> None:
        self._drop(mark)
        self._known[mark] = state
        self._weight += state.weight
        while len(self._known) > MOST or self._weight > MOST_CHARACTERS:
            self._drop(next(iter(self._known)))

    def _drop(self, mark: bytes) -> None:
        old = self._known.pop(mark, None)
        self._weight -= old.weight if old is not None else 0
