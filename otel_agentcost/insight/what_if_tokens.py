"""Tokens that another model needs for the same work, measured where both have done the work of one agent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from otel_agentcost.core.usage import Count, Usage
from otel_agentcost.insight.repricing import Counts, models_of, usage_of
from otel_agentcost.pricebook import NoPrice, PriceBook
from otel_agentcost.store.single_calls import Names, Recorded

LEAST: Final = 30
"""Calls of both models that one agent must have, to measure how many tokens they need for the same work."""

_SURE: Final = 2.0
"""Standard errors on each side of a measured ratio."""


Calls = Callable[[], Iterable[Recorded]]
"""Returns the recorded calls. They are read twice if tokens have to be measured."""


class Swap(NamedTuple):
    """One model instead of another."""

    old: str
    new: str
    provider: str | None = None
    """The provider of the new model; None for that of the call."""


class Ratio(NamedTuple):
    """Tokens that a model needs for one token of another, at least and at most."""

    input: tuple[Decimal, Decimal]
    output: tuple[Decimal, Decimal]


def id_of(book: PriceBook, names: Names) -> str:
    """Return the id of a call's model in the price book; empty if it has none."""
    match = book.find(models_of(names), None, names.provider or None)
    return "" if isinstance(match, NoPrice) else match.model.lower()


@dataclass(slots=True)
class _Sample:
    """Tokens of one model's calls, for a mean and its error."""

    calls: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    squares: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, usage: Usage) -> None:
        self.calls += 1
        for side, tokens in enumerate((usage.input_tokens, usage.output_tokens)):
            self.sums[side] += tokens
            self.squares[side] += tokens * tokens

    def error(self, side: int) -> float:
        """Return the standard error of the mean, as a share of the mean."""
        mean = self.sums[side] / self.calls
        if not mean:
            return math.inf
        variance = max(0.0, self.squares[side] / self.calls - mean * mean) / max(1, self.calls - 1)
        return math.sqrt(variance) / mean


def measured(calls: Calls, book: PriceBook, swaps: Sequence[Swap]) -> dict[tuple[str, str], Ratio]:
    """Return the ratio of tokens by agent and old model, where an agent has enough calls of both models."""
    if not swaps:
        return {}
    wanted = {name for swap in swaps for name in (swap.old.lower(), swap.new.lower())}
    names: dict[tuple[str, str, str], str | None] = {}
    samples: dict[tuple[str, str], _Sample] = {}
    for call in calls():
        counts, each = call.counts, call.names
        if not counts or each.tool or each.source == "estimated":
            continue
        key = (each.provider, each.served, each.requested)
        if key not in names:
            spelled = (each.served.lower(), each.requested.lower(), id_of(book, each))
            names[key] = next((name for name in spelled if name in wanted), None)
        name = names[key]
        if name is not None:
            samples.setdefault((each.agent, name), _Sample()).add(usage_of(counts))
    found: dict[tuple[str, str], Ratio] = {}
    for swap in swaps:
        for agent in {agent for agent, _ in samples}:
            old, new = samples.get((agent, swap.old.lower())), samples.get((agent, swap.new.lower()))
            if old is not None and new is not None and min(old.calls, new.calls) >= LEAST:
                found[agent, swap.old] = Ratio(_between(old, new, 0), _between(old, new, 1))
    return found


def _between(old: _Sample, new: _Sample, side: int) -> tuple[Decimal, Decimal]:
    if not old.sums[side] or not new.sums[side]:
        return Decimal(1), Decimal(1)
    ratio = (new.sums[side] / new.calls) / (old.sums[side] / old.calls)
    error = _SURE * math.hypot(old.error(side), new.error(side))
    return Decimal(repr(ratio * max(0.0, 1 - error))), Decimal(repr(ratio * (1 + error)))


def stretched(recorded: Counts, ratio: Ratio, end: int) -> Counts:
    """Return counts for a model that needs more or fewer tokens."""
    counts: dict[str, Count] = {}
    for kind, count in recorded.items():
        if not kind.endswith("_tokens"):
            counts[kind] = count
            continue
        side = ratio.output if kind.startswith("output_") else ratio.input
        counts[kind] = int((Decimal(count) * side[end]).to_integral_value())
    return counts
