"""Loops: tool calls that repeated without progress, and what was spent since they began."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Watcher


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _Loops(evidence)


class _Loops(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._loops = evidence.loops

    def found(self) -> Iterator[Finding]:
        number, nusd = self._loops
        if nusd > 0:
            formula = "dollars spent from the first round of each loop until it was found"
            title = "Stop loops: set OTEL_AGENTCOST_LOOP_ACTION=block"
            yield Finding("loops", title, "measured", nusd, number, formula, (), "loops")
