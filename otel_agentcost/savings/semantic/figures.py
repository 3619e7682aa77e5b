"""The figures of a rehearsal: what it would have served, and how often that would have been wrong, with limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_agentcost.savings.semantic.counts import Counted
from otel_agentcost.savings.semantic.limits import Limits, limits

ENOUGH: Final = 300
"""Answers that would have been served, below which the share of wrong ones is not known to a percent."""


class Place(NamedTuple):
    """A part of a program."""

    feature: str
    agent: str
    model: str


@dataclass(slots=True)
class Figures:
    """The figures of one place, or of all of them."""

    asked: int = 0
    """Questions that were rehearsed."""
    candidates: int = 0
    """Those to which an entry was alike."""
    vetoed: int = 0
    served: int = 0
    """Those that an entry would have answered."""
    wrong: int = 0
    """Served answers that were not those of the model, as the judge has said."""
    unknown: int = 0
    """Served answers in other words that no judge has seen. They may be wrong."""
    failed: int = 0
    dropped: int = 0
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Vetoed candidates by reason."""

    @property
    def hit_rate(self) -> float:
        """The share of the questions that would have been served."""
        return self.served / self.asked if self.asked else 0.0

    @property
    def hit_limits(self) -> Limits:
        """The limits of the hit rate, at 95 %."""
        return limits(self.served, self.asked)

    @property
    def error_limits(self) -> Limits:
        """The limits of the share of served answers that were wrong, at 95 %. The upper one takes unknown for wrong."""
        low = limits(self.wrong, self.served).low
        return Limits(low, limits(self.wrong + self.unknown, self.served).high)

    def add(self, counted: Counted) -> None:
        """Add a row."""
        of, calls = counted
        if of.what in ("failed", "dropped"):
            self.failed += calls if of.what == "failed" else 0
            self.dropped += calls if of.what == "dropped" else 0
            return
        self.asked += calls
        self.candidates += calls if of.what != "none" else 0
        if of.vetoed:
            self.vetoed += calls
            self.reasons[of.vetoed] = self.reasons.get(of.vetoed, 0) + calls
        if of.served:
            self.served += calls
            self.wrong += calls if of.what == "wrong" else 0
            self.unknown += calls if of.what == "unknown" else 0


def figures_of(counted: Iterable[Counted]) -> tuple[dict[Place, Figures], Figures]:
    """Return the figures of each place, those with the most questions first, and of all of them together."""
    places: dict[Place, Figures] = {}
    whole = Figures()
    for row in counted:
        place = Place(row.of.feature, row.of.agent, row.of.model)
        places.setdefault(place, Figures()).add(row)
        whole.add(row)
    ordered = sorted(places.items(), key=lambda each: (-each[1].asked, each[0]))
    return dict(ordered), whole
