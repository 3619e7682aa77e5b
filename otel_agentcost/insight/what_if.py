"""The cost of recorded calls under other prices: another list, date, tier, time to live, address or model.

The tokens stay those that were recorded, so that the answer is exact, wherever they would be the same: always, but for
a model with another tokenizer. For such a model, the ratio of the tokens is measured where both models have done the
same agent's work, and the answer is a range. Where neither is known, nothing is answered.

The price of a call is worked out twice: as it was recorded, which must give the recorded dollars to the last digit, and
with the changes. A call whose recorded dollars cannot be worked out again keeps them, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import CACHE_READ_TOKENS, CACHE_WRITE_TOKENS
from otel_agentcost.insight.repricing import Basis, Counts, Other, Repricing, as_recorded, card_of, renamed
from otel_agentcost.insight.what_if_tokenizers import same_tokenizer
from otel_agentcost.insight.what_if_tokens import LEAST, Calls, Ratio, Swap, id_of, measured, stretched
from otel_agentcost.pricebook import PriceBook, PriceMatch
from otel_agentcost.store.single_calls import Names, Recorded

TimeToLive = Literal["5m", "1h", "none"]
Sure = Literal["exact", "range", "at least", "kept", "refused"]
"""`at least`: exact, for a part of the cost; `kept`: the recorded dollars; `refused`: the recorded dollars, because the
others are not known.
"""


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
    """Calls whose recorded cost is unknown in whole or in part."""
    unknown: int
    """Calls whose cost with the change is unknown in whole or in part: `low` and `high` do not have all of it."""


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    recorded: int = 0
    low: int = 0
    high: int = 0
    unpriced: int = 0
    unknown: int = 0

    def take(self, other: _Sum) -> None:
        """Take a call from `other`, whose line has it without its dollars."""
        other.calls -= 1
        other.unpriced -= 1
        other.unknown -= 1
        self.calls += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer."""

    lines: Sequence[Line]
    notes: Sequence[str]
    missed: Sequence[Swap] = ()
    """Swaps that are about none of the calls."""
    idle: Sequence[str] = ()
    """Terms of the change on which no price depends."""

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

    @property
    def unpriced(self) -> int:
        """Calls whose recorded cost is unknown in whole or in part."""
        return sum(line.unpriced for line in self.lines)

    @property
    def unknown(self) -> int:
        """Calls whose cost with the change is unknown in whole or in part."""
        return sum(line.unknown for line in self.lines)


class _Outcome(NamedTuple):
    becomes: str
    sure: Sure
    why: str
    low: int | None
    high: int | None
    whole: bool
    """Whether these are all dollars of the call."""


_Key = tuple[str, str, Sure, str]


def what_if(calls: Calls, book: PriceBook, change: Change) -> Answer:
    """Return what recorded calls would cost with a change.

    Args:
        calls: Returns the recorded calls.
        book: The price book that the calls were recorded with.
        change: What would be different.
    """
    asking = _Asking(book, change, measured(calls, book, change.swaps))
    sums: dict[_Key, _Sum] = {}
    waiting: dict[tuple[str, str], list[_Sum]] = {}
    settled: list[tuple[tuple[str, str], _Sum]] = []
    for call in calls():
        if call.nusd is None and not call.names.unpriced:
            continue  # a failed call, which is not billed
        outcome = asking.outcome(call)
        each = sums.setdefault((call.names.model, outcome.becomes, outcome.sure, outcome.why), _Sum())
        each.calls += call.calls
        each.recorded += call.nusd or 0
        each.low += outcome.low or 0
        each.high += outcome.high or 0
        each.unpriced += bool(call.names.unpriced)
        each.unknown += not outcome.whole
        asked_for = call.names.provider, call.names.requested
        if call.resolves:
            settled.append((asked_for, each))
        elif call.nusd is None and call.calls == 1 and not outcome.whole:
            waiting.setdefault(asked_for, []).append(each)
    for (provider, requested), each in settled:
        # A batch of OpenAI is created without a model. Where none waits, the call is before the period.
        waits = waiting.get((provider, requested)) or waiting.get((provider, ""))
        if waits:
            each.take(waits.pop(0))
    sums = {key: each for key, each in sums.items() if each.calls or each.recorded or each.unpriced or each.high}
    lines = [
        Line(*key, each.calls, each.recorded, each.low, each.high, each.unpriced, each.unknown)
        for key, each in sums.items()
    ]
    ordered = sorted(lines, key=lambda line: (-line.recorded, line.model, line.becomes, line.sure))
    return Answer(
        lines=tuple(ordered), notes=tuple(asking.notes()), missed=tuple(asking.missed), idle=tuple(asking.idle)
    )


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
        self.missed = [*change.swaps]
        self.idle = [name for name in change.terms if name not in TERMS]

    def outcome(self, call: Recorded) -> _Outcome:
        """Return what one call would cost."""
        counts = call.counts
        if call.names.tool or not counts:
            return self._kept(call, "kept", _uncounted(call))
        swap, found = self.swap_of(call.names), self._basis(call)
        basis = found if found is not None else as_recorded(call.names)
        other = basis if swap is None else self._recorded.instead(basis, swap.new, swap.provider)
        if self.idle:
            self._see_terms(call, other)
        if swap is None and found is None:
            return self._kept(call, "kept", _unlike(call))
        if swap is not None and swap in self.missed:
            self.missed.remove(swap)
        if why := self._no_hour(call, other):
            return self._kept(call, "refused", why)
        if swap is None:
            return self._exact(call, basis, self._priced(call, other, counts), call.names.model)
        return self._swapped(call, swap, basis, other)

    def _swapped(self, call: Recorded, swap: Swap, basis: Basis, other: Basis) -> _Outcome:
        """Return what one call would cost with another model."""
        model, counts = call.names.model, call.counts
        if same_tokenizer(model, swap.new):
            self._same.add(swap)
            return self._exact(call, basis, self._priced(call, other, counts), _named(call, swap))
        ratio = self._ratios.get((call.names.agent, swap.old))
        if ratio is None:
            why = (
                f"the tokenizers of {model} and {swap.new} are not known to be the same, and no agent has {LEAST} "
                "calls of both"
            )
            return self._kept(call, "refused", why)
        both = [self._priced(call, other, stretched(counts, ratio, end)) for end in (0, 1)]
        dollars = [money.to_nano(cost.usd) for cost in both if cost.usd is not None and cost.unpriced is None]
        if len(dollars) < len(both):
            return self._kept(call, "refused", both[0].unpriced or both[1].unpriced or "no price")
        lasting = self._lasting(call, basis)
        why = "; ".join(filter(None, ("the tokens are measured", lasting)))
        return _Outcome(_named(call, swap), "range", why, min(dollars), max(dollars), whole=not lasting)

    def swap_of(self, names: Names) -> Swap | None:
        """Return the swap that is about the model of a call."""
        key = (names.provider, names.served, names.requested)
        if key not in self._names:
            models = {names.served.lower(), names.requested.lower(), id_of(self._book, names)}
            self._names[key] = next((swap for swap in self._change.swaps if swap.old.lower() in models), None)
        return self._names[key]

    def _basis(self, call: Recorded) -> Basis | None:
        """Return the basis of a call's dollars; None if they do not come out, so that nothing can be said of others."""
        if call.nusd is None:
            return as_recorded(call.names) if call.names.unpriced.startswith(_MENDABLE) else None
        return self._recorded.basis(call)

    def _priced(self, call: Recorded, basis: Basis, counts: Counts) -> Cost:
        change = self._change
        other = Other(
            counts=_cached(counts, change.time_to_live),
            terms=tuple(self._terms(call).items()),
            at=change.at,
            base_url=change.base_url,
        )
        return self._other.cost(call, basis, other)

    def _terms(self, call: Recorded) -> dict[str, str]:
        terms = {**dict(call.names.conditions), **self._change.terms}
        return {name: value for name, value in terms.items() if value is not None}

    def _no_hour(self, call: Recorded, basis: Basis) -> str:
        """Return why what a call has written into a cache cannot be kept for an hour; empty if it can."""
        if self._change.time_to_live != "1h" or not any(call.counts.get(kind) for kind in CACHE_WRITE_TOKENS):
            return ""
        at = call.at if self._change.at is None else self._change.at
        card = card_of(self._other.book, basis.provider, basis.models, self._terms(call), at)
        unit = card.unit("cache_write_1h_tokens") if card is not None else None
        if card is None or unit == "cache_write_1h_tokens":
            return ""
        return f"{card.name} has no price for what a cache keeps for an hour"

    def _see_terms(self, call: Recorded, basis: Basis) -> None:
        """Take the terms on which the price of a call depends from those that no price depends on."""
        match = self._other.book.find(basis.models, self._change.base_url, basis.provider or None)
        if isinstance(match, PriceMatch):
            of_price = (one.terms or {} for one in match.prices.variants)
            known = {*dict(call.names.conditions), *(name for terms in of_price for name in terms)}
            known |= {name for row in self._other.book.uplifts(match) for name in row.when}
            self.idle = [name for name in self.idle if name not in known]

    def _exact(self, call: Recorded, basis: Basis, cost: Cost, becomes: str) -> _Outcome:
        if cost.usd is None or (cost.unpriced is not None and not call.names.unpriced):
            why = cost.unpriced or "no price"
            refused = call.nusd is not None or becomes != call.names.model
            return self._kept(call, "refused" if refused else "kept", why)
        nusd = money.to_nano(cost.usd)
        if why := cost.unpriced or self._lasting(call, basis):
            return _Outcome(becomes, "at least", why, nusd, nusd, whole=False)
        return _Outcome(becomes, "exact", "", nusd, nusd, whole=True)

    def _lasting(self, call: Recorded, basis: Basis) -> str:
        """Return why a part of a call's cost is not known, if no price list can help."""
        recorded = call.names.unpriced
        if not recorded:
            return ""
        ours = self._recorded.cost(call, basis).unpriced
        if ours is not None and ours in recorded:
            return recorded.replace(ours, "").strip("; ")
        return "" if call.nusd is None else recorded

    @staticmethod
    def _kept(call: Recorded, sure: Sure, why: str) -> _Outcome:
        return _Outcome(call.names.model, sure, why, call.nusd, call.nusd, whole=not call.names.unpriced)

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


TERMS: Final = ("service_tier", "processing", "speed", "inference_geo")
"""Terms that providers name in their answers, whatever the price book has for them."""


def _named(call: Recorded, swap: Swap) -> str:
    """Return the name of the new model, with its provider if the name alone is that of the old one."""
    return swap.new if swap.new != call.names.model or swap.provider is None else f"{swap.provider}/{swap.new}"


def _uncounted(call: Recorded) -> str:
    if call.names.tool:
        return "a tool of the application"
    return f"unpriced: {call.names.unpriced}" if call.names.unpriced and call.nusd is None else "no tokens are recorded"


def _unlike(call: Recorded) -> str:
    if call.nusd is None:
        return f"unpriced: {call.names.unpriced}"
    if call.names.source == "provider":
        return "the provider said what it costs"
    return "its recorded dollars are not those of this price book"


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
