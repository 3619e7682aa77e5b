"""Prompts that repeat, at a provider that caches only what is marked, without a mark."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Bounded, Evidence, Finding, Seen, Tally, Watcher, place, thread
from otel_agentcost.insight.recommendations.rebuilt_prompts import Before
from otel_agentcost.insight.repricing import FRESH, moved
from otel_agentcost.savings.prompt_cache.rules import rule
from otel_agentcost.store.fingerprints import shared


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _UnmarkedPrompts()


class _UnmarkedPrompts(Watcher):
    sees = True

    def __init__(self) -> None:
        self._balance: dict[str, tuple[int, int]] = {}
        self._before = Bounded[Before]()

    def see(self, seen: Seen) -> None:
        call, tokens, segments = seen.call, seen.call.tokens, seen.segments
        marks = call.marks
        if tokens is None or segments is None or tokens.cache_read or tokens.cache_write or (marks and marks.marks):
            return
        found = rule(call.names.provider, call.names.model)
        if found is None or not found.marked or found.least is None or tokens.input < found.least:
            return
        before = self._before.get(thread(call))
        repeated = 0
        if before is not None and 0 <= call.at - before.at <= found.lifetime:
            whole = shared(before.segments, segments) == len(before.segments)
            repeated = min(before.cached, tokens.input) if whole else 0
        self._before.keep(thread(call), Before(call.at, tokens.input, segments))
        if seen.basis is None or call.nusd is None:
            return
        counts = moved(call.counts, repeated, FRESH, "cache_read_tokens")
        counts = moved(counts, tokens.input - repeated, frozenset({"input_tokens"}), "cache_write_5m_tokens")
        nusd = seen.cost_of(counts)
        if nusd is not None:
            saved, calls = self._balance.get(place(call), (0, 0))
            self._balance[place(call)] = saved + call.nusd - nusd, calls + 1

    def found(self) -> Iterator[Finding]:
        tally = Tally()
        for where, (nusd, calls) in self._balance.items():
            tally.add(where, nusd, calls)
        formula = (
            "tokens of the prompt before, which a prompt of the same conversation repeats within 5 minutes x (price of "
            "a fresh token - price of a cached token), less the surcharge for writing all others"
        )
        title = "Mark these prompts for the cache: they repeat, and this provider caches nothing else"
        yield from tally.finding("unmarked_prompts", title, "ceiling", formula)
