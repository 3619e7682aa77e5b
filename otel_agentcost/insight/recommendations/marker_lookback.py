"""Cached prompts that were not found again, because too many blocks were added between two marks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.recommendations.rebuilt_prompts import Before
from otel_agentcost.insight.repricing import FRESH, moved
from otel_agentcost.savings.prompt_cache.rules import rule
from otel_agentcost.store.fingerprints import shared


class _Marked(NamedTuple):
    """An earlier call of the same thread."""

    call: Before
    blocks: int


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _MarkerLookback()


class _MarkerLookback(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()
        self._before = Bounded[_Marked]()

    def see(self, seen: Seen) -> None:
        call, tokens, marks, segments = seen.call, seen.call.tokens, seen.call.marks, seen.segments
        found = rule(call.names.provider, call.names.model) if marks is not None else None
        if tokens is None or marks is None or segments is None or found is None or found.lookback is None:
            return
        before = self._before.get(thread(call))
        if before is not None and call.at - before.call.at <= found.lifetime:
            lost = before.call.lost(tokens.cache_read)
            unchanged = shared(before.call.segments, segments) == len(before.call.segments)
            if lost and unchanged and marks.blocks - before.blocks > found.lookback:
                self._tally.add(place(call), seen.saved(moved(call.counts, lost, FRESH, "cache_read_tokens")))
        latest = Before(call.at, tokens.cache_read + tokens.cache_write, segments)
        self._before.keep(thread(call), _Marked(latest, marks.blocks))

    def found(self) -> Iterator[Finding]:
        formula = (
            "tokens that were cached and not read within 5 minutes, where more than 20 blocks came between two marks "
            "and nothing before them had changed x (price paid - price of a cached token)"
        )
        title = "Set a mark at least every 20 blocks: the provider looks no further back for a cached beginning"
        return self._tally.finding("marker_lookback", title, "exact", formula)
