"""Prompts with a time or a random id ahead of text that stays the same: nothing behind it can be cached."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.recommendations.rebuilt_prompts import Before
from otel_agentcost.insight.repricing import FRESH, moved
from otel_agentcost.savings.prompt_cache.rules import rule
from otel_agentcost.store.fingerprints import shared


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _VolatilePrompts()


class _VolatilePrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._before = Bounded[Before]()

    def see(self, seen: Seen) -> None:
        call, tokens, marks, segments = seen.call, seen.call.tokens, seen.call.marks, seen.segments
        if tokens is None or marks is None or not marks.volatile or segments is None:
            return
        found = rule(call.names.provider, call.names.model)
        before = self._before.get(thread(call))
        self._before.keep(thread(call), Before(call.at, tokens.input, segments))
        if found is None or before is None or call.at - before.at > found.lifetime:
            return
        same = shared(before.segments, segments)
        behind = len(set(before.segments[same:]).intersection(segments[same:]))
        repeated = min(before.cached, tokens.input)
        if same < len(before.segments) and behind and repeated >= (found.least or 0) and repeated > tokens.cache_read:
            counts = moved(call.counts, repeated - tokens.cache_read, FRESH, "cache_read_tokens")
            self._tally.add(f"{place(call)}: {marks.volatile}", seen.saved(counts))

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens of the prompt before, of which the next one within the time for which it is kept repeats what "
            "stands behind a time or a random id, and that were not read from the cache x (price paid - price of a "
            "cached token); what changes is paid anyway"
        )
        title = "Put times and random ids behind the text that stays the same"
        return self._tally.finding("volatile_prompts", title, "ceiling", formula)
