"""Calls that failed and were billed anyway: streams that broke, answers that could not be parsed."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Tally, Watcher


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _FailedCalls(evidence)


class _FailedCalls(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._errors = evidence.errors

    def found(self) -> Iterator[Finding]:
        tally = Tally()  # most calls that fail are not billed: those without dollars are not in it
        for line in self._errors:
            error, agent, _ = line.keys
            if error:
                tally.add(f"{error}, {agent}" if agent else error, line.sums.nusd, line.sums.priced)
        formula = "dollars of the calls that ended with an error"
        return tally.finding("failed_calls", "See why these calls fail: they are billed", "measured", formula)
