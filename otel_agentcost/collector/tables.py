r"""The price book as text tables that a Collector can search: the prices of every name of every model, by provider.

A table has a line for each name, `name|since|until|notes|tier 1|tier 2|...rates`: the seconds of the epoch between
which it is valid (empty: no bound), notes, the numbers of input tokens above which a tier begins, and US dollars per
million tokens of each of `KINDS` and per thousand requests (`-`: none). The notes are `a`: valid under all service
tiers; `b`: except in batches; `h`, `m`: other prices for cache writes that live for an hour, for images or audio; `u0`,
`u1`: the first, second uplift of the provider concerns the model; `x`: unknown; `d`: the line `name\t%` is valid at the
hours in the columns of the tiers, `3600-14400-12345-20721,20727`: seconds of the day, days of the week on which they
begin (0 is Sunday), days of the epoch on which they do not.
`name\t@flex` is the line under a service tier. To each of these, `\t<` appends the line that was valid before `since`,
`\t~` the one from `until` on, `\t>1` the first tier: no name has a tab. Names that only a pattern matches are found by
`Rule`s, whose models have the key `#id` in the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from otel_agentcost.core.price_periods import ALWAYS, Period
from otel_agentcost.core.prices import Card, InconsistentPrices, ModelPrices, PriceList, Tiered
from otel_agentcost.core.usage import Kind
from otel_agentcost.pricebook import PriceBook, PriceMatch
from otel_agentcost.pricebook.overrides import OverrideModel
from otel_agentcost.pricebook.price_lists import read_model
from otel_agentcost.pricebook.service_tiers import lacks_batch_price

KINDS: Final[tuple[Kind, ...]] = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "output_reasoning_tokens",
)
"""The kinds of tokens that a span can report, in the order of the columns."""

MARKS: Final = "|\t\n"
"""Separators of the table. Names with one of them are not in a table and are not looked up."""
ANY: Final = "*"
"""The key of the table of user-defined prices that apply to all providers."""

_MAX_TIERS = 2
_BATCH = "batch"
_NO_RATES = "|".join("-" * (len(KINDS) + 1))


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern of names, and the `#id` of the line with their prices. Rules are tried in their order."""

    matches: Any
    """In the form of the price book: `{"contains": "claude-3"}`; or a wildcard of a user: `{"wild": "house-*"}`."""
    key: str
    owner: str
    """The provider that lists the model; several providers can resell it."""


@dataclass(slots=True)
class Table:
    """The names and rules of one provider."""

    lines: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """By name: its line, and the lines of its tiers and terms."""
    rules: list[Rule] = field(default_factory=list[Rule])


def tables(book: PriceBook, at: float) -> dict[str, Table]:
    """Return the tables of all providers, by their ids.

    Args:
        book: The price book.
        at: The time at which the prices are valid, in seconds of the epoch.
    """
    own = book.finder.overrides
    ids = [*book.book.providers, *(name for name in own.providers if name not in book.book.providers)]
    found = {provider: _table(book, provider, at) for provider in ids}
    if any(True for _ in own.models):
        found[ANY] = _for_any_provider(book, at)
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
    """Add a wildcard of the user's price file, or (under `ANY`) one of its names: with prices, or with an alias."""
    shelf = book.finder.listed_provider(provider)
    found = book.finder.alias(model, shelf) if model.prices is None else None
    prices = model.prices if found is None else found.prices
    if prices is None:
        return
    found = found or PriceMatch(provider=provider, model=model.name, prices=prices, overridden=True)
    table.lines[key] = _lines(key, prices, at, known=_notes(book, found, provider), terms=found.terms_apply)
    if key != model.name:
        owner = ANY if provider == ANY else f"{provider} by the user"
        table.rules.append(Rule({"wild": model.name}, key, owner))


def _for_any_provider(book: PriceBook, at: float) -> Table:
    """Return the user's prices for all providers, for calls whose provider is not in the book."""
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
    ):  # a user can define an alias for another provider's model
        table.lines[name] = _lines(name, found.prices, at, known=_notes(book, found, provider), terms=found.terms_apply)


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
            known = _notes(book, found, provider)
            table.lines[key] = _lines(key, found.prices, at, known=known, terms=found.terms_apply)


def _by_id(book: PriceBook, provider: str, owner: str, entry: Any) -> PriceMatch:
    """Return the price that `provider` bills for a model of the book. A user's price takes precedence."""
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


def _notes(book: PriceBook, found: PriceMatch, seller: str) -> str:
    """Return the notes of a model: whether its price holds under all terms, and which uplifts concern it."""
    concern = book.uplifts(replace(found, seller=seller))
    uplifts = "".join(f"u{number}" for number, row in enumerate(book.uplifts_of(seller)) if row in concern)
    always = found.overridden or not any(one.prices for one in found.prices.lists)
    batches = "b" if found.overridden and lacks_batch_price(found.prices) else ""
    return (f"a{batches}" if always else "") + uplifts


def _lines(key: str, prices: ModelPrices, at: float, *, known: str, terms: bool = True) -> list[str]:
    """Return all lines of one model: the current ones, the previous ones and the next ones."""
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
    """Makes the lines of one model under one term, or under none."""

    def __init__(self, prices: ModelPrices, term: dict[str, str], *, known: str) -> None:
        self._prices = prices
        self._term = term
        self._known = known
        entries = (*prices.lists, *prices.variants)
        self._turns = sorted({entry.period.start for entry in entries if entry.period.start is not None})

    def all(self, key: str, at: float) -> list[str]:
        """Return the lines with the key `key` that are valid at, before and after `at`; none if there is no price."""
        since, until = self._validity(at)
        found = self._at(key, at, since, until)
        if found and since > -math.inf:
            found += self._at(f"{key}\t<", since - 1, *self._validity(since - 1))
        if found and until < math.inf:
            found += self._at(f"{key}\t~", until, *self._validity(until))
        return found

    def _validity(self, at: float) -> tuple[float, float]:
        """Return the times between which the lines of `at` are valid. Not every date changes a price."""
        lines = self._unbounded(at)
        earlier, later = [turn for turn in self._turns if turn <= at], [turn for turn in self._turns if turn > at]
        since = next((turn for turn in reversed(earlier) if self._unbounded(turn - 1) != lines), -math.inf)
        until = next((turn for turn in later if self._unbounded(turn) != lines), math.inf)
        return since, until

    def _at(self, key: str, at: float, since: float, until: float) -> list[str]:
        bounds = f"{_whole(since)}|{_whole(until)}"
        return [f"{key}{suffix}|{bounds}|{rest}" for suffix, rest in self._unbounded(at)]

    def _unbounded(self, at: float) -> list[tuple[str, str]]:
        """Return the suffix of the key and the rest of the line after the bounds, for each line."""
        variants = self._prices.variants
        if self._term and not any(_in_force(one, at) and one.terms == self._term for one in variants):
            return []
        if any(one.period.recurs for one in (*self._prices.lists, *variants) if _in_force(one, at)):
            return self._by_the_hour(at)
        card = self._prices.quote(at, self._term).card
        starts = _starts(card)
        if len(starts) > _MAX_TIERS:
            raise InconsistentPrices(f"{self._prices.name} has {len(starts)} tiers, more than a table has columns")
        notes = self._known + ("h" if _hours_differ(card) else "") + ("m" if _media_differ(card) else "")
        head = "|".join([notes, *map(str, starts), *[""] * (_MAX_TIERS - len(starts))])
        sizes = [0, *(start + 1 for start in starts)]
        return [
            (f"\t>{number}" if number else "", "|".join([head, *_rates(card, size)]))
            for number, size in enumerate(sizes)
        ]

    def _by_the_hour(self, at: float) -> list[tuple[str, str]]:
        """Return the same for a model that has other prices for some hours or days."""
        now = [[one for one in some if _in_force(one, at)] for some in (self._prices.lists, self._prices.variants)]
        windows = list(dict.fromkeys(one.period for some in now for one in some if one.period.recurs))
        outside = self._card_in(now, None)
        cards = [self._card_in(now, window) for window in windows]
        inside = {tuple(_rates(card, 0)) for card in cards}
        if len(inside) > 1 or len(windows) > _MAX_TIERS or any(map(_starts, (outside, *cards))):
            raise InconsistentPrices(f"{self._prices.name} has more prices by the hour than a table has columns")
        head = "|".join([self._known + "d", *map(_hours, windows), *[""] * (_MAX_TIERS - len(windows))])
        return [("", "|".join([head, *_rates(outside, 0)])), ("\t%", "|".join([head, *_rates(cards[0], 0)]))]

    def _card_in(self, now: Sequence[Sequence[PriceList]], window: Period | None) -> Card:
        """Return the card within the hours `window`, or outside of all hours."""
        lists, variants = (
            [replace(one, period=ALWAYS) for one in some if not one.period.recurs or one.period == window]
            for some in now
        )
        first = replace(self._prices.lists[0], period=ALWAYS)
        return ModelPrices(self._prices.name, lists or [first], variants).quote(0.0, self._term).card


def _in_force(one: PriceList, at: float) -> bool:
    return one.period.start is None or one.period.start <= at


def _hours(period: Period) -> str:
    begin, end = period.hours
    weekdays = sorted((day + 1) % 7 for day in (range(7) if period.weekdays is None else period.weekdays))
    return f"{begin:.0f}-{end:.0f}-{''.join(map(str, weekdays))}-{','.join(map(str, sorted(period.holidays)))}"


def _hours_differ(card: Card) -> bool:
    """Return whether the price of a cache write depends on its lifetime, which spans do not report."""
    return _rate(card, "cache_write_1h_tokens", 0) != _rate(card, "cache_write_tokens", 0)


def _terms(prices: ModelPrices) -> list[dict[str, str]]:
    """Return the terms that a span can report: the tier that served the call, or that it was part of a batch."""
    found: list[dict[str, str]] = []
    for variant in prices.variants:
        terms = dict(variant.terms or {})
        if len(terms) == 1 and ("service_tier" in terms or terms == {"processing": _BATCH}) and terms not in found:
            found.append(terms)
    return found


def _media_differ(card: Card) -> bool:
    """Return whether images or audio in the output have another price, which spans do not report."""
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
    """Return a price in decimal notation, with all digits that a double can hold."""
    return f"{Decimal(repr(float(price))).normalize():f}" if price else "0"
