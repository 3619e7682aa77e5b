"""Dollars that the providers' prompt caches have saved already."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Tally, Watcher


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _CacheSavings(evidence)


class _CacheSavings(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._total = evidence.total

    def found(self) -> Iterator[Finding]:
        tally = Tally()
        tally.add("", self._total.saved, self._total.calls)
        formula = "tokens read from a cache x (price of a fresh token - price of a cached one)"
        return tally.finding("cache_savings", "Prompt caches have saved this much", "measured", formula)
