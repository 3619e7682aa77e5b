"""The cost of recorded calls under other prices: another list, date, tier, time to live, address or model.

The tokens stay those that were recorded, so that the answer is exact, wherever they would be the same: always, but for
a model with another tokenizer. For such a model, the ratio of the tokens is measured where both models have done the
same agent's work, and the answer is a range. Where neither is known, nothing is answered.

The price of a call is worked out twice: as it was recorded, which must give the recorded dollars to the last digit, and
with the changes. A call whose recorded dollars cannot be worked out again keeps them, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, Count, Usage
from otel_agentcost.insight.repricing import Basis, Counts, Other, Repricing, as_recorded, models_of, renamed, usage_of
from otel_agentcost.insight.what_if_tokenizers import same_tokenizer
from otel_agentcost.pricebook import NoPrice, PriceBook
from otel_agentcost.store.single_calls import Names, Recorded

LEAST: Final = 30
"""Calls of both models that one agent must have, to measure how many tokens they need for the same work."""

_SURE: Final = 2.0
"""Standard errors on each side of a measured ratio."""

TimeToLive = Literal["5m", "1h", "none"]
Sure = Literal["exact", "range", "kept", "refused"]
"""`kept`: the recorded dollars; `refused`: the recorded dollars, because the others are not known."""


class Swap(NamedTuple):
    """One model instead of another."""

    old: str
    new: str
    provider: str | None = None
    """The provider of the new model; None for that of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of prices."""

    swaps: Sequence[Swap] = ()
    book: PriceBook | None = None
    """Another price book."""
    at: float | None = None
    """The time of the prices, for all calls."""
    terms: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """What would serve the calls, by term; None takes a term away."""
    base_url: str | None = None
    """Another address of the provider, such as a regional host."""
    time_to_live: TimeToLive | None = None
    """Of what is written into a cache; the same tokens are read from it. `none`: no cache."""


class Line(NamedTuple):
    """Calls of one model."""

    model: str
    becomes: str
    sure: Sure
    why: str
    calls: int
    recorded: int
    """Billionths of a dollar, where they are known."""
    low: int
    high: int
    """Billionths of a dollar with the change; equal where they are exact."""
    unpriced: int
    """Calls that have no dollars in the store."""
    unknown: int
    """Calls whose dollars with the change are not known: `low` and `high` do not have them."""


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    recorded: int = 0
    low: int = 0
    high: int = 0
    unpriced: int = 0
    unknown: int = 0


class Ratio(NamedTuple):
    """Tokens that a model needs for one token of another, at least and at most."""

    input: tuple[Decimal, Decimal]
    output: tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer."""

    lines: Sequence[Line]
    notes: Sequence[str]

    @property
    def recorded(self) -> int:
        """The recorded dollars, in billionths."""
        return sum(line.recorded for line in self.lines)

    @property
    def low(self) -> int:
        """The least that the calls would cost, in billionths of a dollar."""
        return sum(line.low for line in self.lines)

    @property
    def high(self) -> int:
        """The most that the calls would cost, in billionths of a dollar."""
        return sum(line.high for line in self.lines)


class _Outcome(NamedTuple):
    becomes: str
    sure: Sure
    why: str
    low: int | None
    high: int | None


Calls = Callable[[], Iterable[Recorded]]
"""Returns the recorded calls. They are read twice if tokens have to be measured."""


def what_if(calls: Calls, book: PriceBook, change: Change) -> Answer:
    """Return what recorded calls would cost with a change.

    Args:
        calls: Returns the recorded calls.
        book: The price book that the calls were recorded with.
        change: What would be different.
    """
    asking = _Asking(book, change, _measured(calls, book, change.swaps))
    sums: dict[tuple[str, str, Sure, str], _Sum] = {}
    for call in calls():
        if call.nusd is None and not call.names.unpriced:
            continue  # a failed call, which is not billed
        outcome = asking.outcome(call)
        each = sums.setdefault((call.names.model, outcome.becomes, outcome.sure, outcome.why), _Sum())
        each.calls += call.calls
        each.recorded += call.nusd or 0
        each.low += outcome.low or 0
        each.high += outcome.high or 0
        each.unpriced += call.nusd is None
        each.unknown += outcome.low is None
    lines = [
        Line(*key, each.calls, each.recorded, each.low, each.high, each.unpriced, each.unknown)
        for key, each in sums.items()
    ]
    ordered = sorted(lines, key=lambda line: (-line.recorded, line.model, line.becomes, line.sure))
    return Answer(lines=tuple(ordered), notes=tuple(asking.notes()))


class _Asking:
    """One question, over all calls."""

    def __init__(self, book: PriceBook, change: Change, ratios: Mapping[tuple[str, str], Ratio]) -> None:
        self._book = book
        self._change = change
        self._ratios = ratios
        self._recorded = Repricing(book)
        self._other = self._recorded if change.book is None else Repricing(change.book)
        self._names: dict[tuple[str, str, str], Swap | None] = {}
        self._same: set[Swap] = set()

    def outcome(self, call: Recorded) -> _Outcome:
        """Return what one call would cost."""
        if call.names.tool:
            return self._kept(call, "kept", "a tool of the application")
        if not call.counts:
            return self._kept(call, "kept", "no tokens are recorded")
        swap, basis = self.swap_of(call.names), self._basis(call)
        if swap is not None:
            return self._swapped(call, swap, basis if basis is not None else as_recorded(call.names))
        if basis is None:
            return self._kept(call, "kept", _unlike(call))
        return self._exact(call, self._priced(call, basis, call.counts), call.names.model)

    def _swapped(self, call: Recorded, swap: Swap, basis: Basis) -> _Outcome:
        """Return what one call would cost with another model."""
        model, other = call.names.model, self._recorded.instead(basis, swap.new, swap.provider)
        if same_tokenizer(model, swap.new):
            self._same.add(swap)
            return self._exact(call, self._priced(call, other, call.counts), swap.new)
        ratio = self._ratios.get((call.names.agent, swap.old))
        if ratio is None:
            why = (
                f"the tokenizers of {model} and {swap.new} are not known to be the same, and no agent has {LEAST} "
                "calls of both"
            )
            return self._kept(call, "refused", why)
        both = [self._priced(call, other, _stretched(call.counts, ratio, end)) for end in (0, 1)]
        dollars = [money.to_nano(cost.usd) for cost in both if cost.usd is not None and cost.unpriced is None]
        if len(dollars) < len(both):
            return self._kept(call, "refused", both[0].unpriced or both[1].unpriced or "no price")
        return _Outcome(swap.new, "range", "the tokens are measured", min(dollars), max(dollars))

    def swap_of(self, names: Names) -> Swap | None:
        """Return the swap that is about the model of a call."""
        key = (names.provider, names.served, names.requested)
        if key not in self._names:
            models = {names.served.lower(), names.requested.lower(), _id(self._book, names)}
            self._names[key] = next((swap for swap in self._change.swaps if swap.old.lower() in models), None)
        return self._names[key]

    def _basis(self, call: Recorded) -> Basis | None:
        """Return the basis of a call's dollars; None if they do not come out, so that nothing can be said of others."""
        if call.nusd is None:
            return as_recorded(call.names) if call.names.unpriced.startswith(_MENDABLE) else None
        return self._recorded.basis(call)

    def _priced(self, call: Recorded, basis: Basis, counts: Counts) -> Cost:
        change = self._change
        terms = {**dict(call.names.conditions), **change.terms}
        other = Other(
            counts=_cached(counts, change.time_to_live),
            terms=tuple((name, value) for name, value in terms.items() if value is not None),
            at=change.at,
            base_url=change.base_url,
        )
        return self._other.cost(call, basis, other)

    def _exact(self, call: Recorded, cost: Cost, becomes: str) -> _Outcome:
        if cost.usd is None or (cost.unpriced is not None and not call.names.unpriced):
            why = cost.unpriced or "no price"
            refused = call.nusd is not None or becomes != call.names.model
            return self._kept(call, "refused" if refused else "kept", why)
        nusd = money.to_nano(cost.usd)
        return _Outcome(becomes, "exact", "", nusd, nusd)

    @staticmethod
    def _kept(call: Recorded, sure: Sure, why: str) -> _Outcome:
        return _Outcome(call.names.model, sure, why, call.nusd, call.nusd)

    def notes(self) -> Iterable[str]:
        """Yield what the figures do not say."""
        for swap in sorted(self._same):
            yield (
                f"{swap.new} has the tokenizer of {swap.old}, so the same text costs exactly this; its answers can be "
                "longer or shorter, and another model needs a test."
            )
            ratios = [ratio for (_, old), ratio in self._ratios.items() if old == swap.old]
            if ratios:
                low, high = min(one.output[0] for one in ratios), max(one.output[1] for one in ratios)
                yield f"For the same agents, answers of {swap.new} have {low:.2f} to {high:.2f} times as many tokens."
        if self._change.time_to_live is not None:
            yield "The same tokens are read from the cache: another time to live can change that, too."


_MENDABLE: Final = ("no price for", "the price book has no price")
"""Why a call can have had no dollars, if another price list can help."""


def _unlike(call: Recorded) -> str:
    if call.nusd is None:
        return f"unpriced: {call.names.unpriced}"
    if call.names.source == "provider":
        return "the provider said what it costs"
    return "its recorded dollars are not those of this price book"


def _id(book: PriceBook, names: Names) -> str:
    match = book.find(models_of(names), None, names.provider or None)
    return "" if isinstance(match, NoPrice) else match.model.lower()


def _cached(counts: Counts, time_to_live: TimeToLive | None) -> Counts:
    """Return counts whose cache has another time to live."""
    if time_to_live is None:
        return counts

    def name(kind: str) -> str:
        if kind in CACHE_WRITE_TOKENS:
            before = kind.replace("_5m", "").replace("_1h", "")
            return {"5m": before, "1h": before.replace("_write", "_write_1h"), "none": _fresh(before)}[time_to_live]
        return _fresh(kind) if kind in CACHE_READ_TOKENS and time_to_live == "none" else kind

    return renamed(counts, name)


def _fresh(kind: str) -> str:
    """Return the kind without a cache: `cache_audio_read_tokens` are `input_audio_tokens`."""
    return kind.replace("cache_", "input_", 1).replace("_read", "").replace("_write", "")


# --- tokens of another tokenizer ---


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


def _measured(calls: Calls, book: PriceBook, swaps: Sequence[Swap]) -> dict[tuple[str, str], Ratio]:
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
            spelled = (each.served.lower(), each.requested.lower(), _id(book, each))
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


def _stretched(recorded: Counts, ratio: Ratio, end: int) -> Counts:
    """Return counts for a model that needs more or fewer tokens."""
    counts: dict[str, Count] = {}
    for kind, count in recorded.items():
        if not kind.endswith("_tokens"):
            counts[kind] = count
            continue
        side = ratio.output if kind.startswith("output_") else ratio.input
        counts[kind] = int((Decimal(count) * side[end]).to_integral_value())
    return counts
