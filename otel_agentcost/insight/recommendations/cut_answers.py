"""Answers that were cut off at the output limit: often they are asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher, place

_CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
"""Finish reasons of answers that were cut off, in lower case."""


def watch(_evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _CutAnswers()


class _CutAnswers(Watcher):
    sees = True

    def __init__(self) -> None:
        self._tally = Tally()

    def see(self, seen: Seen) -> None:
        call = seen.call
        if call.stop and call.nusd and not _CUT.isdisjoint(call.stop.lower().split(",")):
            self._tally.add(place(call), call.nusd)

    def found(self) -> Iterator[Finding]:
        formula = "dollars of the calls whose answer ended at the output limit; some limits are meant"
        title = "Raise the output limit, or ask for shorter answers"
        return self._tally.finding("cut_answers", title, "ceiling", formula)
