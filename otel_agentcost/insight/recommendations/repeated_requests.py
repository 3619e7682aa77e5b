"""Requests that were sent again without any change, for the same tenant or user: a response cache answers them."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Tally, Watcher


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _RepeatedRequests(evidence)


class _RepeatedRequests(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._repeated = evidence.repeated

    def found(self) -> Iterator[Finding]:
        tally = Tally()
        for each in self._repeated:
            who = each.names.agent or each.names.feature
            place = f"{who}, {each.names.model}" if who else each.names.model
            tally.add(place, each.nusd - each.first, each.calls - 1)
        formula = (
            "dollars of each equal request (model, parameters, whole prompt; one tenant, else user, else process) "
            "after its first"
        )
        return tally.finding("repeated_requests", "Answer equal requests from a cache", "exact", formula)
