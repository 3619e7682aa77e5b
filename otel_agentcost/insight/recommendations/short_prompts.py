"""Prompts that are marked for the cache, and too short for it: the provider says nothing and bills them in full."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.recommendations.rebuilt_prompts import Before
from otel_agentcost.insight.repricing import moved
from otel_agentcost.savings.prompt_cache.rules import rule
from otel_agentcost.store.fingerprints import shared

_NEAR = 2
"""A prompt of at least one part in so many of the minimum can be made longer."""


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _ShortPrompts()


class _ShortPrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._before = Bounded[Before]()

    def see(self, seen: Seen) -> None:
        call, tokens, marks, segments = seen.call, seen.call.tokens, seen.call.marks, seen.segments
        if tokens is None or segments is None or tokens.cache_read or tokens.cache_write:
            return
        if marks is None or not marks.marks:
            return
        found = rule(call.names.provider, call.names.model)
        if found is None or found.least is None or not found.least <= _NEAR * tokens.input < _NEAR * found.least:
            return
        before = self._before.get(thread(call))
        self._before.keep(thread(call), Before(call.at, tokens.input, segments))
        if before is None or not 0 <= call.at - before.at <= found.lifetime:
            return
        if shared(before.segments, segments) < len(before.segments):
            return  # nothing is sent again that could have been read
        counts = dict(moved(call.counts, tokens.input, frozenset({"input_tokens"}), "cache_read_tokens"))
        counts["cache_read_tokens"] = found.least
        self._tally.add(place(call), seen.saved(counts))

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens of marked prompts below the provider's minimum, but above half of it, that repeat the prompt "
            "before within the time for which it is kept x price of a fresh token, "
            "less the minimum x price of a cached token"
        )
        title = (
            "Make these marked prompts longer than the provider's minimum, or leave out the marks: nothing is cached"
        )
        return self._tally.finding("short_prompts", title, "ceiling", formula)
