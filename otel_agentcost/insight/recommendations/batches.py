"""Calls of features whose answers can come later: the same tokens at the prices of a batch, or of the flexible tier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_agentcost.core.batch import TERMS
from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher

_FLEX: Final = (("service_tier", "flex"),)
_CHOSEN: Final = frozenset({"processing", "service_tier"})


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _Batches(evidence)


class _Batches(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._offline = evidence.offline
        self.sees = bool(self._offline)
        self._batch, self._flex = Tally(), Tally()

    def see(self, seen: Seen) -> None:
        call = seen.call
        names = call.names
        if names.feature not in self._offline or not call.nusd or names.tool:
            return
        chosen = dict(names.conditions)
        if "processing" in chosen:
            return
        rest = tuple(pair for pair in names.conditions if pair[0] not in _CHOSEN)
        where = ", ".join(filter(None, (names.feature, names.agent, names.model)))
        self._batch.add(where, seen.saved(terms=(*rest, *TERMS)))
        self._flex.add(where, seen.saved(terms=(*rest, *_FLEX)))

    def found(self) -> Iterator[Finding]:
        formula = "dollars - the same tokens at {} of the day; features that --offline names"
        title = "Send features that nobody waits for {}"
        yield from self._batch.finding(
            "batches", title.format("as batches"), "exact", formula.format("the batch prices")
        )
        yield from self._flex.finding(
            "batches",
            title.format("with service_tier=flex, instead of a batch"),
            "exact",
            formula.format("flex prices"),
        )
