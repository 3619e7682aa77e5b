"""Own prices that a bill shows: a model that is billed at another price, by the same share each day.

A proposal is a row of a price file (`OTEL_AGENTCOST_PRICES`): the price lists of the book, and from a day on those that
the bill shows. Tiers, other times and places keep the prices that they have in the book.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Context, Decimal
from typing import Any, Final, NamedTuple

from otel_agentcost.core.prices import PRICE_KEY_OF, ModelPrices, Price, PriceList, Tiered
from otel_agentcost.core.usage import DIMENSIONS, Kind
from otel_agentcost.insight.reconcile.comparison import Comparison, terms_of_tier
from otel_agentcost.insight.reconcile.kinds import bill_kind
from otel_agentcost.insight.reconcile.split import Difference
from otel_agentcost.pricebook import PriceBook, PriceMatch
from otel_agentcost.pricebook.uplifts import Uplift
from otel_agentcost.store.bills.bill import tier_of

_SAME: Final = Decimal("0.005")
"""Two shares that differ by less are the same."""
_LEAST: Final = 10_000_000
"""A bill of less than a cent shows no price."""
_SHORT: Final = Context(prec=6)
_DAY: Final = 86_400


class Proposal(NamedTuple):
    """A model that is billed at another price."""

    model: str
    """Its id in the price book."""
    tier: str
    since: str
    """The first UTC day of the price."""
    ratio: Decimal
    """The billed price, as a share of the price at which calls were recorded."""
    kinds: Mapping[str, Decimal]
    """The same by kind of token."""
    nusd: int
    """What the recorded calls of these days cost too much, or too little if it is negative."""

    @property
    def text(self) -> str:
        """A sentence."""
        percent = abs(1 - self.ratio) * 100
        side = "below" if self.ratio < 1 else "above"
        tier = f" ({self.tier})" if self.tier else ""
        return f"{self.model}{tier} is {percent.normalize():f} % {side} its price since {self.since}."


@dataclass(slots=True)
class _Sum:
    billed: int = 0
    ours: int = 0
    kinds: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def add(self, cell: Difference) -> None:
        self.billed += cell.billed
        self.ours += cell.at_our_price
        of_kind = self.kinds.setdefault(cell.kind, [0, 0])
        of_kind[0] += cell.billed
        of_kind[1] += cell.at_our_price

    @property
    def ratio(self) -> Decimal:
        return Decimal(self.billed) / self.ours


def proposals(comparison: Comparison) -> tuple[Proposal, ...]:
    """Return the models whose price differs by the same share until the last day whose bill is settled."""
    days: dict[tuple[str, str], dict[str, _Sum]] = {}
    for cell in comparison.differences:
        settled = cell.day not in comparison.window.provisional and cell.counted_tokens and cell.billed_tokens
        if settled and cell.at_our_price > 0 and cell.billed > 0 and "tools" not in cell.causes:
            days.setdefault((cell.model, cell.tier), {}).setdefault(cell.day, _Sum()).add(cell)
    found = (_proposal(model, tier, sums) for (model, tier), sums in sorted(days.items()))
    return tuple(one._replace(model=_id(one.model, comparison)) for one in found if one is not None)


def _id(model: str, comparison: Comparison) -> str:
    """Return a name that the price book knows: words and numbers of an export are none."""
    return comparison.spelled(model) if " " in model else model


def _proposal(model: str, tier: str, days: Mapping[str, _Sum]) -> Proposal | None:
    """Return the price of the last days, as long as it has been the same; None if it is that of the record."""
    ordered = sorted(days, reverse=True)
    last = days[ordered[0]].ratio
    same: list[str] = []
    for day in ordered:
        if abs(days[day].ratio - last) > _SAME:
            break
        same.append(day)
    whole = _Sum()
    kinds: dict[str, list[int]] = {}
    for day in same:
        whole.billed += days[day].billed
        whole.ours += days[day].ours
        for kind, (billed, ours) in days[day].kinds.items():
            before = kinds.setdefault(kind, [0, 0])
            before[0], before[1] = before[0] + billed, before[1] + ours
    if whole.billed < _LEAST or abs(whole.ratio - 1) < _SAME:
        return None
    measured = {kind: _rounded(Decimal(billed) / ours) for kind, (billed, ours) in kinds.items()}
    return Proposal(model, tier, same[-1], _rounded(whole.ratio), measured, whole.billed - whole.ours)


def _rounded(ratio: Decimal) -> Decimal:
    return ratio.quantize(Decimal("0.001"))


# --- as a price file ---


def price_file(found: Iterable[Proposal], book: PriceBook, provider: str) -> dict[str, Any]:
    """Return proposals as the content of a price file.

    Args:
        found: The proposals.
        book: The book whose prices they change.
        provider: The provider of the book.
    """
    models: dict[str, Any] = {}
    uplifts: list[dict[str, Any]] = []
    seller = provider
    by_model: dict[str, list[Proposal]] = {}
    for one in found:
        by_model.setdefault(one.model, []).append(one)
    for model, mine in by_model.items():
        match = book.find((model,), None, provider)
        if not isinstance(match, PriceMatch) or _recurs(match.prices):
            continue
        seller = match.provider
        models[match.model] = _entry(match.prices, mine)
        uplifts += [_uplift(row, match.model) for row in book.uplifts(match) if row.problem is None]
    content: dict[str, Any] = {"models": models}
    if uplifts:
        content["uplifts"] = uplifts
    return {"providers": {seller: content}} if models else {}


def _recurs(prices: ModelPrices) -> bool:
    """Return True if prices depend on the hour or the weekday: their lists are not written here."""
    return any(one.period.recurs for one in (*prices.lists, *prices.variants))


def _entry(prices: ModelPrices, mine: Sequence[Proposal]) -> dict[str, Any]:
    lists = [_written(one) for one in prices.lists]
    variants: list[dict[str, Any]] = []
    for one in mine:
        start = _start(one.since)
        active = [standard for standard in prices.lists if standard.period.active(start)] or [prices.lists[0]]
        if not one.tier:
            lists.append(_written(PriceList(prices=_changed(active[-1].prices, one)), one.since))
        for variant in _of_tier(prices, one.tier, start):
            changed = PriceList(prices=_changed(variant.prices, one), terms=variant.terms)
            variants.append(_written(changed, one.since))
        if one.tier and not _of_tier(prices, one.tier, start):
            changed = PriceList(prices=_changed(active[-1].prices, one), terms=terms_of_tier(one.tier))
            variants.append(_written(changed, one.since))
    variants += [_written(one) for one in prices.variants]  # the first one that has a price applies
    entry: dict[str, Any] = {"prices": lists}
    if variants:
        entry["variants"] = variants
    if prices.minimum_seconds:
        entry["minimum_seconds"] = str(prices.minimum_seconds)
    return entry


def _of_tier(prices: ModelPrices, tier: str, at: float) -> list[PriceList]:
    return [one for one in prices.variants if one.period.active(at) and tier_of(one.terms or {}) == tier]


def _changed(prices: Mapping[Kind, Price], one: Proposal) -> dict[Kind, Price]:
    """Return prices at the billed shares. A kind that was not billed has the share of the others if they agree."""
    agree = all(abs(ratio - one.ratio) <= _SAME for ratio in one.kinds.values())
    changed: dict[Kind, Price] = {}
    for kind, price in prices.items():
        tokens = ("family", "tokens") in DIMENSIONS[kind]
        share = one.ratio if agree else one.kinds.get(bill_kind(kind), Decimal(1))
        changed[kind] = _times(price, share) if tokens else price
    return changed


def _times(price: Price, share: Decimal) -> Price:
    if isinstance(price, Tiered):
        return Tiered(_short(price.base * share), tuple((start, _short(tier * share)) for start, tier in price.tiers))
    return _short(price * share)


def _short(price: Decimal) -> Decimal:
    return _SHORT.plus(price)


def _written(one: PriceList, since: str | None = None) -> dict[str, Any]:
    """Return a price list as a price file has it."""
    start = since
    if start is None and one.period.start is not None:
        start = datetime.fromtimestamp(one.period.start, timezone.utc).strftime("%Y-%m-%d")
    written: dict[str, Any] = {"when": dict(one.terms)} if one.terms else {}
    if start is not None:
        written["start_date"] = start
    for kind, price in one.prices.items():
        written[PRICE_KEY_OF[kind]] = _number(price)
    return written


def _number(price: Price) -> object:
    if isinstance(price, Tiered):
        tiers = [{"start": str(start), "price": f"{tier.normalize():f}"} for start, tier in price.tiers]
        return {"base": f"{price.base.normalize():f}", "tiers": tiers}
    return f"{price.normalize():f}"


def _uplift(row: Uplift, model: str) -> dict[str, Any]:
    """Return an uplift of the book, which a user's price does not have by itself."""
    written: dict[str, Any] = {"models": [model]}
    if row.addresses:
        written["address"] = list(row.addresses)
    if row.when:
        written["when"] = dict(row.when)
    if row.start is not None:
        written["start_date"] = datetime.fromtimestamp(row.start, timezone.utc).strftime("%Y-%m-%d")
    if row.factor is not None:
        written["factor"] = f"{row.factor:f}"
    return written


def _start(day: str) -> float:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
