"""Calls of a tool with a price that were made again with the same arguments, within one run."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Tally, Watcher


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _RepeatedTools(evidence)


class _RepeatedTools(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._repeated = evidence.repeated_tools

    def found(self) -> Iterator[Finding]:
        tally = Tally()
        for each in self._repeated:
            who = each.names.agent or each.names.feature
            place = f"{who}, {each.names.tool}" if who else each.names.tool
            tally.add(place, each.nusd - each.first, each.calls - 1)
        formula = (
            "dollars of each equal call (tool, arguments; one tenant, else user, else process) after the first in its "
            "run (outside of runs: of its UTC day); a tool that does something, or whose answer changes, has to be "
            "called again"
        )
        return tally.finding("repeated_tools", "Answer equal tool calls from a cache", "ceiling", formula)
