"""Calls at the prices of a cheaper model: at most this much, if its answers do. Only a test can tell."""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _CheaperModels(evidence)


class _CheaperModels(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._cheaper = evidence.cheaper
        self.sees = bool(self._cheaper)
        self._tallies: dict[tuple[str, str], Tally] = {}

    def see(self, seen: Seen) -> None:
        names = seen.call.names
        model = self._cheaper.get(names.price)
        if model is None:
            return
        tally = self._tallies.setdefault((names.price, model), Tally())
        tally.add(names.feature or names.agent, seen.saved(model=(names.price.partition("/")[0], model)))

    def found(self) -> Iterator[Finding]:
        for (price, model), tally in self._tallies.items():
            formula = (
                "dollars - the same tokens at the prices of the other model, which counts tokens in its own way; to "
                "see that success falls by less than 5 points from 90 %, a test needs 2 x 445 runs"
            )
            title = f"Try {model} in place of {price.partition('/')[2]}"
            yield from tally.finding("cheaper_models", title, "ceiling", formula)
