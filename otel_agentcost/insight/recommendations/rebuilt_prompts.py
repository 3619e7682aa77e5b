"""Prompts whose beginning changed although the conversation went on: the provider's cache could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.repricing import FRESH, moved
from otel_agentcost.store.fingerprints import shared

_LEAST: Final = 2_000
"""Tokens that make it worth saying."""

_SHARE: Final = 0.05
"""The share of the cached beginning that makes it worth saying."""

_LIFETIME: Final = 300.0
"""Seconds for which every cache keeps a prompt."""


class Before(NamedTuple):
    """The call before, of the same thread."""

    at: float
    cached: int
    """Tokens that it has read from the cache or written to it."""
    segments: tuple[bytes, ...]

    def lost(self, read: int) -> int:
        """Return the tokens that were cached and not read again; 0 if they are too few to be worth saying."""
        lost = self.cached - read
        return lost if lost >= _LEAST and lost > _SHARE * self.cached else 0


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _RebuiltPrompts()


class _RebuiltPrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._before = Bounded[Before]()

    def see(self, seen: Seen) -> None:
        call, segments = seen.call, seen.segments
        if call.tokens is None or segments is None or not call.chain:
            return
        key = thread(call)
        before = self._before.get(key)
        read = call.tokens.cache_read
        if before is not None and call.at - before.at <= _LIFETIME:
            lost = before.lost(read)
            same = shared(before.segments, segments)
            if lost and same < len(before.segments):
                changed = "tools or system prompt" if not same else f"part {same + 1} of the prompt"
                counts = moved(call.counts, lost, FRESH, "cache_read_tokens")
                self._tally.add(f"{place(call)}: {changed} changed", seen.saved(counts))
        self._before.keep(key, Before(call.at, read + call.tokens.cache_write, segments))

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens that the last call had cached and this one did not read, within 5 minutes and with a changed "
            "beginning x (price paid - price of a cached token)"
        )
        title = "Keep the beginning of prompts unchanged: append, and put what changes last"
        return self._tally.finding("rebuilt_prompts", title, "exact", formula)
