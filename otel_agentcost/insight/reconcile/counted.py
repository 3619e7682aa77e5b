"""Recorded calls as the cells of a bill: by UTC day, model, tier and kind, with their dollars split exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from otel_agentcost.core import money
from otel_agentcost.core.prices import Card
from otel_agentcost.core.usage import Count
from otel_agentcost.insight.reconcile.kinds import bill_kind, is_tool, shares
from otel_agentcost.insight.repricing import Models, by_kind, card_of, models_of
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.store.bills.bill import Bill, day_of, tier_of
from otel_agentcost.store.single_calls import Recorded, Terms

Group = tuple[str, str]
"""A model and a tier."""


@dataclass(slots=True)
class Counts:
    """One cell of the record."""

    nusd: int = 0
    tokens: int = 0
    """Tokens that have a price."""
    unpriced: int = 0
    """Tokens of calls without a price."""
    estimated: int = 0
    """Tokens that the provider did not report."""
    tool: bool = False


@dataclass(slots=True)
class Calls:
    """The calls of a model and tier on one day."""

    calls: int = 0
    estimated: int = 0
    estimated_nusd: int = 0
    unpriced: int = 0
    """Calls whose cost is unknown in whole or in part, without those that got it later."""


@dataclass(slots=True)
class Counted:
    """The recorded calls of one provider."""

    cells: dict[Group, dict[str, dict[str, Counts]]] = field(default_factory=dict[Group, dict[str, dict[str, Counts]]])
    """By model and tier, kind, and day."""
    calls: dict[Group, dict[str, Calls]] = field(default_factory=dict[Group, dict[str, Calls]])
    spellings: dict[str, str] = field(default_factory=dict[str, str])
    """A name of each model, as calls have it."""
    cards: dict[object, Card | None] = field(default_factory=dict[object, "Card | None"])
    """The cards of the prices so far: finding one takes longer than all the rest."""

    @property
    def nusd(self) -> int:
        """All dollars, in billionths."""
        return sum(cell.nusd for kinds in self.cells.values() for days in kinds.values() for cell in days.values())

    def cell(self, group: Group, kind: str, day: str) -> Counts:
        """Return a cell, made if it does not exist."""
        return self.cells.setdefault(group, {}).setdefault(kind, {}).setdefault(day, Counts())


class _Share(NamedTuple):
    model: str
    kind: str
    number: Count
    weight: Decimal


def count(calls: Iterable[Recorded], bill: Bill, book: PriceBook, canonical: Callable[[str], str]) -> Counted:
    """Return the cells of the calls of one provider. The sum of their dollars is that of the rows, exactly.

    Args:
        calls: Rows of the store.
        bill: The provider's bill: its names in the store, and the kinds that it tells apart.
        book: Says how the dollars of a call belong to its kinds.
        canonical: Returns the name under which a bill and the store have the same model.
    """
    found = Counted()
    for call in calls:
        if call.names.tool:
            continue  # a tool of the application is in no bill of a provider
        if call.names.provider not in bill.names:
            continue  # in the bill of another provider
        _add(found, call, bill, book, canonical)
    return found


def _add(found: Counted, call: Recorded, bill: Bill, book: PriceBook, canonical: Callable[[str], str]) -> None:
    names = call.names
    day, model, tier = day_of(call.at), canonical(names.model), tier_of(dict(names.conditions))
    found.spellings.setdefault(model, names.model)
    estimated = names.source == "estimated"
    given = list(_shares_of(found, call, book, canonical))
    if not (names.error and call.nusd is None and not given):  # a call that failed is not billed
        whole = found.calls.setdefault((model, tier), {}).setdefault(day, Calls())
        whole.calls += call.calls
        whole.estimated += estimated * call.calls
        whole.estimated_nusd += (call.nusd or 0) if estimated else 0
        whole.unpriced += call.calls * (call.nusd is None or bool(names.unpriced)) - call.resolves
    if not given and call.nusd:
        given = [_Share(model, "", 0, Decimal(1))]
    dollars = shares(call.nusd, [each.weight for each in given]) if call.nusd is not None else [0] * len(given)
    for each, nusd in zip(given, dollars, strict=True):
        tool = is_tool(each.kind)  # a bill has no model for it, and no tier
        group = ("", "") if tool else (each.model, tier)
        kind = bill_kind(each.kind) if each.kind else "input"
        cell = found.cell(group, bill.merged.get(kind, kind), day)
        cell.nusd += nusd
        cell.tool = tool
        tokens = int(each.number)
        if call.nusd is None:
            cell.unpriced += tokens
        else:
            cell.tokens += tokens
        cell.estimated += tokens * estimated


def _shares_of(found: Counted, call: Recorded, book: PriceBook, canonical: Callable[[str], str]) -> Iterator[_Share]:
    names = call.names
    terms = names.conditions
    yield from _weighed(found, call, book, models_of(names), terms, call.counts, canonical(names.model))
    for part in call.extra:
        model = canonical(part.model or names.model)
        yield from _weighed(found, call, book, (part.model,), (*terms, *part.terms), part.counts, model)


def _weighed(
    found: Counted,
    call: Recorded,
    book: PriceBook,
    models: Models,
    terms: Terms,
    counts: Mapping[str, Count],
    model: str,
) -> Iterator[_Share]:
    key = (call.names.provider, models, terms, call.at // 3600)
    if key not in found.cards:
        found.cards[key] = card_of(book, call.names.provider, models, dict(terms), call.at)
    card = found.cards[key]
    weights = by_kind(card, counts) if card is not None else {}
    for kind, number in counts.items():
        weight = weights.get(kind, money.ZERO) if weights else Decimal(number)
        yield _Share(model, kind, number, weight)
