"""Prompts that are marked for the cache, and too short for it: the provider says nothing and bills them in full."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher, place
from otel_agentcost.insight.repricing import moved
from otel_agentcost.savings.prompt_cache.rules import rule

_NEAR = 2
"""A prompt of at least one part in so many of the minimum can be made longer."""


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _ShortPrompts()


class _ShortPrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()

    def see(self, seen: Seen) -> None:
        call, tokens, marks = seen.call, seen.call.tokens, seen.call.marks
        if tokens is None or marks is None or not marks.marks or tokens.cache_read or tokens.cache_write:
            return
        found = rule(call.names.provider, call.names.model)
        if found is None or found.least is None or not found.least <= _NEAR * tokens.input < _NEAR * found.least:
            return
        counts = dict(moved(call.counts, tokens.input, frozenset({"input_tokens"}), "cache_read_tokens"))
        counts["cache_read_tokens"] = found.least
        self._tally.add(place(call), seen.saved(counts))

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens of marked prompts below the provider's minimum, but above half of it x price of a fresh token, "
            "less the minimum x price of a cached token"
        )
        title = (
            "Make these marked prompts longer than the provider's minimum, or leave out the marks: nothing is cached"
        )
        return self._tally.finding("short_prompts", title, "ceiling", formula)
