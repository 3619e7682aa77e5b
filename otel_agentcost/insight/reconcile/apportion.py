"""A bill as cells. Dollars that a bill has for several tiers or kinds together are shared out by what was used of each.

A line of OpenAI's costs does not say whether batches are in it, and OpenRouter has one amount for all tokens. What was
used is known by tier and kind, and so is the price of it: the shares are those that these prices would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

from otel_agentcost.insight.reconcile.kinds import shares
from otel_agentcost.insight.reconcile.split import BilledCells, ListPrice
from otel_agentcost.store.bills.bill import Bill, BillLine, UsageLine

_Used = dict[tuple[str, str], dict[tuple[str, str], int]]
"""Tokens by day and model, then by tier and kind."""

_Key = tuple[str, str, str, str]
"""A day, a model, a tier and a kind."""


class _Found(NamedTuple):
    """A line of a bill, and what it is for."""

    line: BillLine
    model: str
    targets: list[tuple[tuple[str, str], int]]
    """Tiers and kinds, with the tokens of each in the usage."""


def billed_cells(bill: Bill, canonical: Callable[[str], str], list_price: ListPrice) -> BilledCells:
    """Return a bill by model, tier, kind and day. The sum of its dollars stays the same, exactly.

    Args:
        bill: The bill.
        canonical: Returns the name under which the bill and the store have the same model.
        list_price: The price of a token by the price book.
    """
    cells = BilledCells()
    used = _used(bill.usage, canonical, cells)
    known = {(line.day, canonical(line.model), line.tier) for line in bill.lines if line.tier is not None}
    found = [_found(line, canonical, used, known) for line in bill.lines]
    without = {key for one in found for key in _keys(one) if one.line.sort == "tokens" and one.line.tokens is None}
    taken: set[_Key] = set()
    for one in found:
        line, model, targets = one
        weights = [_weight(tokens, list_price(model, tier, kind, line.day)) for (tier, kind), tokens in targets]
        amounts = shares(line.nusd, weights)
        listed = shares(line.list_nusd, weights) if line.list_nusd is not None else [None] * len(targets)
        numbers = _tokens(one, without, taken)
        for ((tier, kind), _), nusd, list_nusd, tokens in zip(targets, amounts, listed, numbers, strict=True):
            cell = cells.cell((model, tier), kind, line.day)
            cell.nusd += nusd
            cell.sort = line.sort
            if list_nusd is not None:
                cell.list_nusd = (cell.list_nusd or 0) + list_nusd
            if tokens is not None:
                cell.tokens = (cell.tokens or 0) + tokens
    _add_unbilled(cells, used)
    return cells


def _found(line: BillLine, canonical: Callable[[str], str], used: _Used, known: set[tuple[str, str, str]]) -> _Found:
    """Return a line with its tiers and kinds. Dollars that are given back without tokens are a credit."""
    if line.sort == "tokens" and line.nusd < 0 and line.tokens is None:
        name = " ".join(filter(None, ("credit for", line.model or "tokens", line.kind)))
        line = line._replace(model="", tier="", kind=name, sort="other")
    model = canonical(line.model) if line.model and line.sort == "tokens" else ""
    return _Found(line, model, _targets(line, model, used, known))


def _keys(one: _Found) -> list[_Key]:
    """Return the tokens of the usage that a line is for."""
    return [(one.line.day, one.model, tier, kind) for (tier, kind), tokens in one.targets if tokens]


def _used(usage: Iterable[UsageLine], canonical: Callable[[str], str], cells: BilledCells) -> _Used:
    used: _Used = {}
    for line in usage:
        model = canonical(line.model)
        of_model = used.setdefault((line.day, model), {})
        for kind, tokens in line.tokens.items():
            of_model[line.tier, kind] = of_model.get((line.tier, kind), 0) + tokens
        if line.requests is not None:
            days = cells.requests.setdefault((model, line.tier), {})
            days[line.day] = days.get(line.day, 0) + line.requests
    return used


def _targets(
    line: BillLine, model: str, used: _Used, known: set[tuple[str, str, str]]
) -> list[tuple[tuple[str, str], int]]:
    """Return the tiers and kinds that a line is for, with the tokens of each."""
    kinds = used.get((line.day, model), {}) if line.sort == "tokens" else {}
    fitting = [
        (key, tokens)
        for key, tokens in kinds.items()
        if (line.kind in ("", key[1])) and tokens and _fits(line, key[0], model, known)
    ]
    return fitting or [((line.tier or "", line.kind or "input"), 0)]


def _fits(line: BillLine, tier: str, model: str, known: set[tuple[str, str, str]]) -> bool:
    """Return whether a tier of the usage can be in a line: not one that has lines of its own."""
    if line.tier is not None and line.tier != "":
        return tier == line.tier
    return tier == "" or (line.tier is None and (line.day, model, tier) not in known)


def _weight(tokens: int, price: Decimal | None) -> Decimal:
    return Decimal(tokens) * (price if price is not None else 1)


def _tokens(one: _Found, without: set[_Key], taken: set[_Key]) -> list[int | None]:
    """Return the tokens of a line for each of its tiers and kinds.

    They are its own number. Where a line for the same tokens has none, they are those of the usage, once.
    """
    line, model, targets = one
    if line.sort != "tokens":
        return [None] * len(targets)
    own: list[int] | None = None
    if line.tokens is not None:
        own = shares(line.tokens, [Decimal(tokens) for _, tokens in targets])
    found: list[int | None] = []
    for number, ((tier, kind), tokens) in enumerate(targets):
        key = (line.day, model, tier, kind)
        if own is not None and key not in without:
            found.append(own[number])
        else:
            found.append(None if key in taken or not tokens else tokens)
            taken.add(key)
    return found


def _add_unbilled(cells: BilledCells, used: _Used) -> None:
    """Add what was used of models that have no line on a day: free tokens, or a bill that is late."""
    billed = {(day, model) for (model, _), kinds in cells.cells.items() for days in kinds.values() for day in days}
    for (day, model), kinds in used.items():
        for (tier, kind), tokens in kinds.items():
            if kind and tokens and (day, model) not in billed:
                cell = cells.cell((model, tier), kind, day)
                cell.tokens, cell.used_only = tokens, True
