"""Calls at the prices of a cheaper model: at most this much, if its answers do. Only a test can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, Tally, Watcher

_MEDIA: Final = frozenset(
    {"input_audio_tokens", "output_audio_tokens", "output_audio_seconds", "output_image_tokens", "output_video_tokens"}
)
"""Kinds of what a model hears, says or paints: one that only reads and writes is none in its place, nor the reverse."""


def watch(evidence: Evidence) -> Watcher:
    """Return the watcher."""
    return _CheaperModels(evidence)


class _CheaperModels(Watcher):
    def __init__(self, evidence: Evidence) -> None:
        self._cheaper = evidence.cheaper
        self.sees = bool(self._cheaper)
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        self._media: dict[tuple[str, str], set[str]] = {}

    def see(self, seen: Seen) -> None:
        call, names = seen.call, seen.call.names
        key = (names.price, names.operation)
        if call.tokens is not None and call.units is not None:
            self._media.setdefault(key, set()).update(_MEDIA.intersection(call.counts))
        model = self._cheaper.get(key)
        if model is None:
            return
        tally = self._tallies.setdefault((*key, model), Tally())
        tally.add(names.feature or names.agent, seen.saved(model=(names.price.partition("/")[0], model)))

    def found(self) -> Iterator[Finding]:
        for (price, operation, model), tally in self._tallies.items():
            other = (f"{price.partition('/')[0]}/{model}", operation)
            if self._media.get(other, set()) != self._media.get((price, operation), set()):
                continue
            formula = (
                "dollars - the same tokens at the prices of the other model, which counts tokens in its own way; to "
                "see that success falls by less than 5 points from 90 %, a test needs 445 runs of each model"
            )
            title = f"Try {model} in place of {price.partition('/')[2]}"
            yield from tally.finding("cheaper_models", title, "ceiling", formula)
