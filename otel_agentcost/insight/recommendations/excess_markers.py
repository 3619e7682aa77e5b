"""Requests with more marks for the cache than the provider allows: it refuses them."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Watcher, place
from otel_agentcost.savings.prompt_cache.rules import rule


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _ExcessMarkers()


class _ExcessMarkers(Watcher):
    sees = True

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def see(self, seen: Seen) -> None:
        call, marks = seen.call, seen.call.marks
        found = rule(call.names.provider, call.names.model) if marks is not None else None
        if marks is None or found is None or found.markers is None or marks.marks <= found.markers:
            return
        self._places[place(call)] = self._places.get(place(call), 0) + 1

    def found(self) -> Iterator[Finding]:
        if self._places:
            first = sorted(self._places.items(), key=lambda each: (-each[1], each[0]))[:3]
            yield Finding(
                "excess_markers",
                "Use no more marks than the provider allows (4): it refuses such requests, or a gateway drops some",
                "measured",
                0,
                sum(self._places.values()),
                "calls with more marks than the provider's limit; what they could have saved is not known",
                tuple((where, 0) for where, _ in first if where),
            )
