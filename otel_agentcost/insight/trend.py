"""The change of the spend between two periods, split into volume, mix and price. The parts add up to it exactly.

With N dollars and C model calls in a period, and q units of each kind of cell (the tokens of one type, of one model,
under one price) at the unit price p = dollars of the cell / q:

    volume = N0 x (C1 / C0 - 1)                   more or fewer calls, each as dear as before
    mix    = sum(q1 x p0) - N0 x C1 / C0          other models, or more or fewer tokens of a type in a call
    price  = N1 - sum(q1 x p0)                    other dollars for the same tokens

A cell that the earlier period does not have has no price there: its own is taken, so a new model is mix and no price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from otel_agentcost.store.questions import Line, Sums

CELLS: Final = ("provider", "model", "price", "terms", "tool", "unpriced")
"""The groupings of the lines that a trend needs."""

TOKEN_TYPES: Final = ("input", "cache_read", "cache_write", "output", "reasoning")
"""Types of tokens, disjoint."""

Rates = Callable[[str, str, str], Mapping[str, Decimal] | None]
"""Returns the price of a token of each type, by provider, price key and terms; None if it is not known."""


class Change(NamedTuple):
    """The difference between two periods, in billionths of a dollar."""

    before: int
    now: int
    volume: int
    mix: int
    price: int

    @property
    def difference(self) -> int:
        """The sum of the three parts."""
        return self.now - self.before


class Cell(NamedTuple):
    """The tokens of one type, of one model, under one price."""

    quantity: int
    nusd: int


def change(before: Iterable[Line], now: Iterable[Line], rates_before: Rates, rates_now: Rates) -> Change:
    """Return the change between two periods.

    Args:
        before: The lines of the earlier period, by `CELLS`.
        now: Those of the later one.
        rates_before: Splits the dollars of a line of the earlier period over its types of tokens.
        rates_now: Those of the later one: prices may have changed.
    """
    old, calls_before = cells(before, rates_before)
    new, calls_now = cells(now, rates_now)
    return split(old, calls_before, new, calls_now)


def split(before: Mapping[object, Cell], calls_before: int, now: Mapping[object, Cell], calls_now: int) -> Change:
    """Return the change between two periods, given their cells and the number of their priced model calls."""
    dollars_before = sum(cell.nusd for cell in before.values())
    dollars_now = sum(cell.nusd for cell in now.values())
    if not calls_before:
        return Change(dollars_before, dollars_now, dollars_now - dollars_before, 0, 0)
    as_before = Fraction(0)
    for key, cell in now.items():
        old = before.get(key)
        as_before += Fraction(cell.quantity * old.nusd, old.quantity) if old is not None else cell.nusd
    price = round(dollars_now - as_before)
    volume = round(Fraction(dollars_before * (calls_now - calls_before), calls_before))
    return Change(dollars_before, dollars_now, volume, dollars_now - dollars_before - volume - price, price)


def cells(lines: Iterable[Line], rates: Rates) -> tuple[dict[object, Cell], int]:
    """Return the cells of lines by `CELLS`, and the number of their priced model calls."""
    found: dict[object, Cell] = {}
    calls = 0
    for line in lines:
        provider, model, price, terms, tool, _ = line.keys
        calls += 0 if tool else line.sums.priced  # what a tool costs belongs to the calls that it is used for
        for kind, cell in _by_type(line.sums, rates(provider, price, terms)).items():
            key = (provider, model, terms, tool, kind)
            old = found.get(key)
            found[key] = cell if old is None else Cell(old.quantity + cell.quantity, old.nusd + cell.nusd)
    return {key: cell for key, cell in found.items() if cell.quantity}, calls


def _by_type(sums: Sums, rates: Mapping[str, Decimal] | None) -> Mapping[str, Cell]:
    """Return the dollars of a line by type of token, in proportion to the rates; in one piece without rates."""
    if not sums.priced and not sums.nusd:
        return {}
    tokens = {
        "input": sums.input - sums.cache_read - sums.cache_write,
        "cache_read": sums.cache_read,
        "cache_write": sums.cache_write,
        "output": sums.output - sums.reasoning,
        "reasoning": sums.reasoning,
    }
    weights = {kind: Fraction(rates[kind]) * count for kind, count in tokens.items()} if rates else {}
    whole = sum(weights.values(), Fraction(0))
    if not whole or any(weight < 0 for weight in weights.values()):
        return {"call": Cell(max(1, sums.priced), sums.nusd)}
    found: dict[str, Cell] = {}
    taken, passed = 0, Fraction(0)
    for kind, weight in weights.items():
        passed += weight
        upto = sums.nusd * passed / whole
        nusd = round(upto) - taken
        taken += nusd
        if tokens[kind]:
            found[kind] = Cell(tokens[kind], nusd)
    return found
