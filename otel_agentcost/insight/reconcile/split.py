"""The difference between a bill and what was recorded, split into causes whose sum is the difference, exactly.

A cell is a UTC day, a model, a tier and a kind of token. It has billed tokens B and dollars P, and recorded tokens T
and dollars C. With the price q at which its tokens were recorded, P - C is (B - T) x q, the dollars of a difference in
tokens, and P - B x q, the dollars of another price. Tokens first: those that another day has too many are a matter of
*time*; those of calls that were not recorded, of *coverage*; those of recorded calls, of *usage*. All amounts are
whole billionths of a dollar, and the price takes what rounding leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from otel_agentcost.insight.reconcile.counted import Calls, Counted, Counts, Group
from otel_agentcost.store.bills.bill import Sort

Cause = Literal["coverage", "usage", "price", "time", "tools", "unknown model", "other"]

CAUSES: Final[tuple[Cause, ...]] = ("coverage", "usage", "price", "time", "tools", "unknown model", "other")
"""`other` has credits, taxes and fees."""

ListPrice = Callable[[str, str, str, str], Decimal | None]
"""Returns the billionths of a dollar that a token costs by the price book: of a model, tier, kind and day."""

_NO_COUNTS: Final = Counts()
_NO_CALLS: Final = Calls()


@dataclass(slots=True)
class Billed:
    """One cell of a bill."""

    nusd: int = 0
    list_nusd: int | None = None
    tokens: int | None = None
    sort: Sort = "tokens"
    used_only: bool = False
    """The tokens are known from the usage, and the bill has no line for them: they are free, or the bill is late."""


@dataclass(slots=True)
class BilledCells:
    """A bill, by model and tier, kind and day."""

    cells: dict[Group, dict[str, dict[str, Billed]]] = field(default_factory=dict[Group, dict[str, dict[str, Billed]]])
    requests: dict[Group, dict[str, int]] = field(default_factory=dict[Group, dict[str, int]])
    """By model and tier, and day. A model that is not here has no number of requests."""

    def cell(self, group: Group, kind: str, day: str) -> Billed:
        """Return a cell, made if it does not exist."""
        return self.cells.setdefault(group, {}).setdefault(kind, {}).setdefault(day, Billed())


class Difference(NamedTuple):
    """One cell, and why the bill and the record of it differ."""

    day: str
    model: str
    tier: str
    kind: str
    billed: int
    """Billionths of a dollar."""
    counted: int
    list_billed: int | None
    billed_tokens: int | None
    counted_tokens: int
    unseen: int | None
    """Requests of the model and tier on this day that were billed and not recorded; None if the bill does not say."""
    estimated_tokens: int
    causes: Mapping[Cause, int]
    """Billionths of a dollar by cause; those that are 0 are left out."""
    at_our_price: int
    """The billed tokens at the price at which ours were recorded."""
    provisional: bool

    @property
    def difference(self) -> int:
        """Billed minus recorded: the sum of the causes."""
        return self.billed - self.counted


class Window(NamedTuple):
    """The days of a comparison. What is moved over its borders is seen in the days around it."""

    days: Sequence[str]
    """All days that both sides have, in their order, with those around the window."""
    shown: frozenset[str]
    """The days of the window."""
    opened: frozenset[str]
    """Days that have not ended: all of their difference is a matter of time."""
    provisional: frozenset[str]
    """Days whose bill may still change: what it has no line for is a matter of time."""


def split(billed: BilledCells, counted: Counted, window: Window, list_price: ListPrice) -> tuple[Difference, ...]:
    """Return the difference of each cell of the window.

    Args:
        billed: The bill.
        counted: What was recorded.
        window: The days.
        list_price: The price of a token that was never recorded.
    """
    found: list[Difference] = []
    for group in sorted({*billed.cells, *counted.cells}):
        calls, requests = counted.calls.get(group, {}), billed.requests.get(group)
        unseen = _unseen(requests, calls, window.days)
        kinds = {*billed.cells.get(group, ()), *counted.cells.get(group, ())}
        for kind in sorted(kinds):
            ours = counted.cells.get(group, {}).get(kind, {})
            theirs = billed.cells.get(group, {}).get(kind, {})
            row = _Row(group, kind, ours, theirs, unseen, requests, calls, window, list_price)
            found += row.differences()
    return tuple(found)


def _unseen(
    requests: Mapping[str, int] | None, calls: Mapping[str, Calls], days: Sequence[str]
) -> dict[str, int] | None:
    if requests is None:
        return None
    return {day: requests.get(day, 0) - calls.get(day, _NO_CALLS).calls for day in days}


def moved(gaps: Sequence[int], allowed: Sequence[bool]) -> list[list[int]]:
    """Return what is on the next day, or was on the day before: for each pair of days, what both of them lack.

    Args:
        gaps: What each day of the bill has more than the record.
        allowed: For each pair of days, whether something can have moved between them.

    Returns:
        For each pair of days, what the first one and the second one has too much: two opposite numbers.
    """
    left = list(gaps)
    pairs: list[list[int]] = []
    for first, possible in enumerate(allowed):
        one, other = left[first], left[first + 1]
        much = min(abs(one), abs(other)) if possible and one * other < 0 else 0
        sign = 1 if one > 0 else -1
        pairs.append([sign * much, -sign * much])
        left[first] -= sign * much
        left[first + 1] += sign * much
    return pairs


class _Row(NamedTuple):
    """One kind of one model and tier, over all days."""

    group: Group
    kind: str
    ours: Mapping[str, Counts]
    theirs: Mapping[str, Billed]
    unseen: Mapping[str, int] | None
    requests: Mapping[str, int] | None
    calls: Mapping[str, Calls]
    window: Window
    list_price: ListPrice

    def differences(self) -> Iterable[Difference]:
        days = self.window.days
        tokens, dollars = self._moved()
        for number, day in enumerate(days):
            if day in self.window.shown and (day in self.ours or day in self.theirs):
                yield self._difference(day, tokens[number], dollars[number])

    def _moved(self) -> tuple[list[int], list[int]]:
        """Return, for each day, the tokens and the dollars that another day has too few."""
        days = self.window.days
        tokens, dollars = [0] * len(days), [0] * len(days)
        gaps = [self._gap(day) for day in days]
        allowed = [self._may_move(one, other) for one, other in pairwise(days)]
        rate = self._mean()
        for first, (one, other) in enumerate(moved(gaps, allowed)):
            price = rate if rate is not None else self._listed(days[first])
            nusd = 0 if price is None else _rounded(one * price)
            for position, sign, much in ((first, 1, one), (first + 1, -1, other)):
                tokens[position] += much
                dollars[position] += sign * nusd
        return tokens, dollars

    def _gap(self, day: str) -> int:
        theirs, ours = self.theirs.get(day), self.ours.get(day, _NO_COUNTS)
        if theirs is None:
            return -ours.tokens - ours.unpriced
        if theirs.tokens is None or theirs.sort != "tokens" or ours.tool:
            return 0
        return theirs.tokens - ours.tokens - ours.unpriced

    def _may_move(self, one: str, other: str) -> bool:
        return self.unseen is None or self.unseen[one] * self.unseen[other] < 0

    def _mean(self) -> Decimal | None:
        """Return the price of a recorded token over all days."""
        tokens = sum(cell.tokens for cell in self.ours.values())
        return Decimal(sum(cell.nusd for cell in self.ours.values())) / tokens if tokens else None

    def _listed(self, day: str) -> Decimal | None:
        return self.list_price(*self.group, self.kind, day)

    def _difference(self, day: str, moved_tokens: int, moved_nusd: int) -> Difference:
        ours, theirs = self.ours.get(day, _NO_COUNTS), self.theirs.get(day)
        nusd = theirs.nusd if theirs is not None else 0
        causes: dict[Cause, int]
        at_our_price = nusd
        if day in self.window.opened or (day in self.window.provisional and (theirs is None or theirs.used_only)):
            causes = {"time": nusd - ours.nusd}
        elif theirs is not None and theirs.sort == "other":
            causes = {"other": nusd - ours.nusd}
        elif ours.tool or (theirs is not None and theirs.sort == "tool"):
            causes = {"tools": nusd - ours.nusd}
        else:
            causes, at_our_price = self._of_tokens(day, ours, theirs, moved_tokens, moved_nusd)
        return Difference(
            day=day,
            model=self.group[0],
            tier=self.group[1],
            kind=self.kind,
            billed=nusd,
            counted=ours.nusd,
            list_billed=theirs.list_nusd if theirs is not None else None,
            billed_tokens=theirs.tokens if theirs is not None else 0,
            counted_tokens=ours.tokens + ours.unpriced,
            unseen=self.unseen[day] if self.unseen is not None else None,
            estimated_tokens=ours.estimated,
            causes={cause: amount for cause, amount in causes.items() if amount},
            at_our_price=at_our_price,
            provisional=day in self.window.provisional,
        )

    def _of_tokens(
        self, day: str, ours: Counts, theirs: Billed | None, moved_tokens: int, moved_nusd: int
    ) -> tuple[dict[Cause, int], int]:
        nusd = theirs.nusd if theirs is not None else 0
        rate = Decimal(ours.nusd) / ours.tokens if ours.tokens else self._mean()
        rate = rate if rate is not None else self._listed(day)
        tokens = theirs.tokens if theirs is not None else 0
        if rate is None:
            return {"unknown model": nusd - ours.nusd}, nusd
        if tokens is None:  # the bill has dollars only
            return {"price" if ours.tokens else "coverage": nusd - ours.nusd}, ours.nusd
        of_tokens = _rounded((tokens - ours.tokens) * rate)
        unknown = _rounded(ours.unpriced * rate)
        rest = of_tokens - moved_nusd - unknown
        covered = self._covered(day, tokens, tokens - ours.tokens - ours.unpriced - moved_tokens, ours)
        coverage = rest if covered is None else _rounded(covered * rate)
        price = nusd - ours.nusd - of_tokens
        late = price - self._settled_price(price, nusd - price) if nusd and day in self.window.provisional else 0
        return {
            "time": moved_nusd + late,
            "unknown model": unknown,
            "coverage": coverage,
            "usage": rest - coverage,
            "price": price - late,
        }, nusd - price

    def _settled_price(self, price: int, at_our_price: int) -> int:
        """Return the part of a lower price on a provisional day that settled days have, too.

        The usage of a day can be in a bill before all of its dollars are, which looks like a lower price.
        """
        billed = expected = 0
        for day in self.window.days:
            ours, theirs = self.ours.get(day), self.theirs.get(day)
            settled = day not in self.window.opened and day not in self.window.provisional
            if settled and ours is not None and theirs is not None and theirs.tokens and ours.tokens:
                billed += theirs.nusd
                expected += _rounded(Decimal(ours.nusd) / ours.tokens * theirs.tokens)
        if price >= 0:
            return price
        usual = _rounded(Decimal(at_our_price) * (billed - expected) / expected) if expected else 0
        return max(price, min(0, usual))

    def _covered(self, day: str, tokens: int, gap: int, ours: Counts) -> int | None:
        """Return the tokens of a gap that belong to calls which were not recorded; None for all of them.

        Usage that the provider itself has reported is right, so that a gap beside unseen calls is theirs. Where tokens
        of recorded calls were estimated too, the unseen calls are as large as the others.
        """
        if gap <= 0:
            return 0
        if self.unseen is None or self.requests is None:
            return 0 if ours.estimated else None
        moved_away = max(0, self.unseen[day])
        if moved_away == 0:
            return 0
        if not self.calls.get(day, _NO_CALLS).estimated:
            return None
        return min(gap, tokens * moved_away // max(1, self.requests.get(day, 1)))


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value())
