r"""The price book as text tables, which a Collector can search: what every model name that a provider knows costs.

A table has a line for each name, `name|since|until|notes|tier 1|tier 2|...rates`: the seconds of the epoch between
which it holds (empty: always), what must be noted (`t`, `b`: the provider prices service tiers, or batches, apart;
`h`: cache writes that live for an hour have another price; `m`: pictures or sound have; `d`: `name\t%` holds between
the seconds of every day that then stand for the tiers, `3600-14400`; `x`: unknown), the numbers of input tokens above
which a tier begins, and US dollars per million of each of `KINDS` and per thousand requests (`-`: no price).
`name\t@flex` is the same under a service tier; of each, `name\t<` is what held before `since`, `name\t~` what is known
to come at `until`, `name\t>1` the first tier: no name has a tab. Names that only a pattern knows are found by `Rule`s,
whose models stand in the table as `#id`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from otel_agentcost.core.prices import DAY, Card, InconsistentPrices, ModelPrices, Tiered
from otel_agentcost.core.usage import Kind
from otel_agentcost.pricebook import PriceBook, PriceMatch
from otel_agentcost.pricebook.overrides import OverrideModel
from otel_agentcost.pricebook.price_lists import read_model

KINDS: Final[tuple[Kind, ...]] = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "output_reasoning_tokens",
)
"""What a span can say of a call, in the order of the columns."""

MARKS: Final = "|\t\n"
"""What lines are made with; names that have them are in no table, and looked for in none."""
ANY: Final = "*"
"""The table of own prices that hold for whoever sells the model."""

_MOST_TIERS = 2
_BATCH = "batch"
_NO_RATES = "|".join("-" * (len(KINDS) + 1))


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern of names, in the order in which they are tried, and the `#id` whose prices they have."""

    matches: Any
    """As the price book writes it: `{"contains": "claude-3"}`; `{"wild": "house-*"}` for one of the own prices."""
    key: str
    owner: str
    """The shelf it is from: several providers sell what stands there."""


@dataclass(slots=True)
class Table:
    """One provider's names and rules."""

    lines: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """By name: the line of the name itself and those of its tiers and terms."""
    rules: list[Rule] = field(default_factory=list[Rule])


def tables(book: PriceBook, at: float) -> dict[str, Table]:
    """The tables of all providers, by their ids, as they hold at the moment `at` (seconds of the epoch)."""
    own = book.finder.overrides
    ids = [*book.book.providers, *(name for name in own.providers if name not in book.book.providers)]
    found = {provider: _table(book, provider, at) for provider in ids}
    if any(True for _ in own.models):
        found[ANY] = _of_anybody(book, at)
    return found


def _table(book: PriceBook, provider: str, at: float) -> Table:
    table = Table()
    finder = book.finder
    own = finder.overrides.providers.get(provider)
    ours = [own.models] if own is not None else []
    for models in (*ours, finder.overrides.models):
        for name in models.exact:
            _add_name(table, book, provider, name, at, own=True)
        for number, (_, model) in enumerate(models.wild):
            _add_wild(table, book, provider, model, f"#own-{len(table.rules)}-{number}", at)
    shelf = finder.listed_provider(provider)
    if shelf is None:
        return table
    for owner in (shelf, *book.book.providers[shelf].fallbacks):
        if owner in book.book.providers:
            _add_shelf(table, book, provider, owner, at)
    return table


def _add_wild(table: Table, book: PriceBook, provider: str, model: OverrideModel, key: str, at: float) -> None:
    """A wildcard of the own prices, or, under `ANY`, a name of them: prices of its own, or another's."""
    shelf = book.finder.listed_provider(provider)
    found = book.finder.alias(model, shelf) if model.prices is None else None
    prices = model.prices if found is None else found.prices
    if prices is None:
        return
    known = "" if found is None else _asked_apart(book, found)
    table.lines[key] = _lines(key, prices, at, known=known, terms=found is None or found.terms_apply)
    if key != model.name:
        owner = ANY if provider == ANY else f"{provider} of one's own"
        table.rules.append(Rule({"wild": model.name}, key, owner))


def _of_anybody(book: PriceBook, at: float) -> Table:
    """Own prices for all providers, where the book does not know who sells the model."""
    table = Table()
    models = book.finder.overrides.models
    for number, model in enumerate(models):
        _add_wild(table, book, ANY, model, model.name if model.name in models.exact else f"#own-{number}", at)
    return table


def _add_name(table: Table, book: PriceBook, provider: str, name: str, at: float, *, own: bool = False) -> None:
    if name in table.lines or any(mark in name for mark in MARKS):
        return
    found = book.find((name,), None, provider)
    sellers = {provider, book.finder.listed_provider(provider)}
    if isinstance(found, PriceMatch) and (
        own or found.provider in sellers
    ):  # an own name may stand for another's model
        table.lines[name] = _lines(name, found.prices, at, known=_asked_apart(book, found), terms=found.terms_apply)


def _add_shelf(table: Table, book: PriceBook, provider: str, owner: str, at: float) -> None:
    for entry in book.book.models_of(owner).entries:
        key = f"#{owner}/{entry['id']}"
        ruled = False
        for name in _alternatives(entry["match"]):
            if isinstance(name, str):
                _add_name(table, book, provider, name, at)
            else:
                ruled = True
                table.rules.append(Rule(name, key, owner))
        if ruled and key not in table.lines:
            found = _by_id(book, provider, owner, entry)
            known = _asked_apart(book, found)
            table.lines[key] = _lines(key, found.prices, at, known=known, terms=found.terms_apply)


def _by_id(book: PriceBook, provider: str, owner: str, entry: Any) -> PriceMatch:
    """What `provider` bills for a model of the book, however it is called: an own price goes before the book's."""
    identity = entry["id"]
    own = book.finder.overrides.providers.get(provider)
    for models in ([own.models] if own is not None else []) + [book.finder.overrides.models]:
        model = models.exact.get(identity)
        if model is not None and model.prices is not None:
            return PriceMatch(provider=provider, model=identity, prices=model.prices, overridden=True)
    prices = read_model(f"{owner}/{identity}", entry)
    same = owner == book.finder.listed_provider(provider)
    return PriceMatch(provider=provider, model=identity, prices=prices, terms_apply=same)


def _alternatives(match: Any) -> Sequence[Any]:
    return match["or"] if not isinstance(match, str) and "or" in match else [match]


def _asked_apart(book: PriceBook, found: PriceMatch) -> str:
    """The notes for terms that leave a call unpriced where they have no price: service tiers, batches."""
    owner = found.prices.name.partition("/")[0]
    if found.overridden or owner not in book.book.providers:
        return ""
    terms = book.book.models_of(owner).terms
    return ("t" if "service_tier" in terms else "") + ("b" if "processing" in terms else "")


def _lines(key: str, prices: ModelPrices, at: float, *, known: str, terms: bool = True) -> list[str]:
    """All lines of one model: as it is now, as it was before, as it will be next."""
    found: list[str] = []
    try:
        for term in [{}, *(_terms(prices) if terms else [])]:
            lines = _Lines(prices, term, known=known)
            name = _BATCH if "processing" in term else next(iter(term.values()), "").lower()
            found += lines.all(f"{key}\t@{name}" if term else key, at)
    except InconsistentPrices:
        return [f"{key}|||x|||{_NO_RATES}"]
    return found


class _Lines:
    """The lines of one model under one term, or under none."""

    def __init__(self, prices: ModelPrices, term: dict[str, str], *, known: str) -> None:
        self._prices = prices
        self._term = term
        self._known = known
        entries = (*prices.lists, *prices.variants)
        self._turns = sorted({entry.period.start for entry in entries if entry.period.start is not None})
        self._windows = sorted({entry.period.daily for entry in entries if entry.period.daily is not None})

    def all(self, key: str, at: float) -> list[str]:
        """The lines around the moment `at`, for a name that is to be found as `key`; none where there is no price."""
        since, until = self._held(at)
        found = self._at(key, at, since, until)
        if found and since > -math.inf:
            found += self._at(f"{key}\t<", since - 1, *self._held(since - 1))
        if found and until < math.inf:
            found += self._at(f"{key}\t~", until, *self._held(until))
        return found

    def _held(self, at: float) -> tuple[float, float]:
        """From when until when the lines are as they are at the moment `at`: not each date changes a price."""
        lines = self._plain(at)
        earlier, later = [turn for turn in self._turns if turn <= at], [turn for turn in self._turns if turn > at]
        since = next((turn for turn in reversed(earlier) if self._plain(turn - 1) != lines), -math.inf)
        until = next((turn for turn in later if self._plain(turn) != lines), math.inf)
        return since, until

    def _at(self, key: str, at: float, since: float, until: float) -> list[str]:
        bounds = f"{_whole(since)}|{_whole(until)}"
        return [f"{key}{suffix}|{bounds}|{rest}" for suffix, rest in self._plain(at)]

    def _plain(self, at: float) -> list[tuple[str, str]]:
        """What follows the name, and what follows its bounds."""
        variants = self._prices.variants
        if self._term and not any(one.period.active(at) and one.terms == self._term for one in variants):
            return []
        if self._windows:
            return self._by_the_hour(at)
        card = self._prices.quote(at, self._term).card
        starts = _starts(card)
        if len(starts) > _MOST_TIERS:
            raise InconsistentPrices(f"{self._prices.name} has {len(starts)} tiers, more than a table has columns")
        notes = self._known + ("h" if _hours_differ(card) else "") + ("m" if _media_differ(card) else "")
        head = "|".join([notes, *map(str, starts), *[""] * (_MOST_TIERS - len(starts))])
        sizes = [0, *(start + 1 for start in starts)]
        return [
            (f"\t>{number}" if number else "", "|".join([head, *_rates(card, size)]))
            for number, size in enumerate(sizes)
        ]

    def _by_the_hour(self, at: float) -> list[tuple[str, str]]:
        """The same for a model that has other prices for some hours of the day."""
        midnight = at - at % DAY
        daily = [one.period for one in (*self._prices.lists, *self._prices.variants) if one.period.daily is not None]
        ends = (end for _, end in self._windows if not any(period.active(midnight + end) for period in daily))
        outside = next(ends, None)
        if outside is None:
            raise InconsistentPrices(f"{self._prices.name} has prices by the hour for the whole day")
        cards = [self._prices.quote(midnight + moment, self._term).card for moment in (outside, self._windows[0][0])]
        inside = {tuple(_rates(self._prices.quote(midnight + begin, self._term).card, 0)) for begin, _ in self._windows}
        if len(inside) > 1 or len(self._windows) > _MOST_TIERS or any(map(_starts, cards)):
            raise InconsistentPrices(f"{self._prices.name} has more prices by the hour than a table has columns")
        hours = [f"{begin:.0f}-{end:.0f}" for begin, end in self._windows]
        head = "|".join([self._known + "d", *hours, *[""] * (_MOST_TIERS - len(hours))])
        return [(suffix, "|".join([head, *_rates(card, 0)])) for suffix, card in zip(("", "\t%"), cards, strict=True)]


def _hours_differ(card: Card) -> bool:
    """Whether it matters for how long cache writes live, which spans do not say."""
    return _rate(card, "cache_write_1h_tokens", 0) != _rate(card, "cache_write_tokens", 0)


def _terms(prices: ModelPrices) -> list[dict[str, str]]:
    """The terms of one condition that a span can tell: the tier that served the call, or that it was a batch's."""
    found: list[dict[str, str]] = []
    for variant in prices.variants:
        terms = dict(variant.terms or {})
        if len(terms) == 1 and ("service_tier" in terms or terms == {"processing": _BATCH}) and terms not in found:
            found.append(terms)
    return found


def _media_differ(card: Card) -> bool:
    """Whether it matters which output tokens are pictures or sound, which spans do not say."""
    kinds: tuple[Kind, ...] = ("output_image_tokens", "output_audio_tokens")
    return any(kind in card.prices and _rate(card, kind, 0) != _rate(card, "output_tokens", 0) for kind in kinds)


def _whole(moment: float) -> str:
    return str(int(moment)) if abs(moment) < 1e12 else ""


def _starts(card: Card) -> list[int]:
    return sorted({start for price in card.prices.values() if isinstance(price, Tiered) for start, _ in price.tiers})


def _rates(card: Card, input_tokens: int) -> list[str]:
    requests = _written(card.price("requests", input_tokens)) if "requests" in card.prices else "0"
    return [*(_rate(card, kind, input_tokens) for kind in KINDS), requests]


def _rate(card: Card, kind: Kind, input_tokens: int) -> str:
    unit = card.unit(kind)
    if unit is None:
        return "-" if card.prices else "0"  # a list without any price is that of a free model
    return _written(card.price(unit, input_tokens))


def _written(price: Decimal) -> str:
    """Digits with a dot, as a Collector reads numbers, to the last digit that its floats can hold."""
    return f"{Decimal(repr(float(price))).normalize():f}" if price else "0"
