"""The price book as everyone uses it: a call's usage, provider, address and model names in, its cost out.

What `finder.py` finds is remembered (bounded, also for names that have no price), so that a call is priced in about
two microseconds. `price` never raises. Threads may share a book: every step reads or replaces a whole entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import InconsistentPrices
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook.compiled import BookFile
from otel_agentcost.pricebook.finder import REMEDY, Finder, Found, Missing
from otel_agentcost.pricebook.overrides import OwnPrices
from otel_agentcost.pricebook.service_tiers import SurchargedCard, surcharge, terms_without_price

Terms = tuple[tuple[str, str], ...]

_LIMIT = 2048
_LONGEST = 500


class _Pricing(Protocol):
    def cost(self, usage: Usage, /) -> Cost: ...


class _Unpriced:
    """Stands where a card would, and answers every usage with the reason why there is none."""

    __slots__ = ("_cost",)

    def __init__(self, reason: str) -> None:
        self._cost = Cost.unknown(reason)

    def cost(self, _usage: Usage, /) -> Cost:
        return self._cost


class _Answer(NamedTuple):
    pricing: _Pricing
    since: float = -math.inf
    until: float = math.inf


class PriceBook:
    """Prices for calls: a compiled book, and a user's own prices over it."""

    def __init__(self, book: BookFile, own: OwnPrices | None = None) -> None:
        self.book = book
        self.finder = Finder(book, own)
        self._answers: dict[tuple[str | None, str | None, tuple[str | None, ...], Terms], _Answer] = {}

    @property
    def source(self) -> str:
        """Which prices these are, for people."""
        return f"genai-prices {self.book.version} of {self.book.date}"

    def price(
        self,
        usage: Usage,
        *,
        provider: str | None,
        base_url: str | None,
        models: tuple[str | None, ...],
        at: float,
        terms: Terms = (),
    ) -> Cost:
        """What `usage` costs.

        `provider` is what the SDK calls itself, `base_url` where the call went, `models` the name that served it and
        the one asked for, `at` when (seconds of the epoch), `terms` what else sets the price (`service_tier`, ...).
        """
        try:
            answer = self._answers.get((provider, base_url, models, terms))
            if answer is None or not answer[1] <= at < answer[2]:
                answer = self._answer(provider, base_url, models, at, terms)
            return answer[0].cost(usage)
        except Exception as error:  # whatever a provider or an SDK put into these values: pricing breaks no call
            return Cost.unknown(f"the price could not be computed ({type(error).__name__}: {error!s:.200})")

    def find(self, models: Sequence[str | None], base_url: str | None, provider: str | None) -> Found | Missing:
        """The prices that apply to a call, or why there are none."""
        return self.finder.find(models, base_url, provider)

    def terms_without_price(self, found: Found, terms: Mapping[str, str], at: float) -> str:
        """Those of `terms` for which the book has no price of what was found, as text; "" for none. Own prices hold
        for all terms that they do not name.
        """
        if found.own:
            return ""
        owner = found.prices.name.partition("/")[0]
        variants = found.prices.variants if found.terms_apply else ()
        return terms_without_price(terms, variants, self.book.shelf(owner).terms, at)

    def _answer(
        self, provider: str | None, base_url: str | None, models: tuple[str | None, ...], at: float, terms: Terms
    ) -> _Answer:
        found = self.find(models, base_url, provider)
        if isinstance(found, Missing):
            answer = _Answer(_Unpriced(found.reason))
        else:
            try:
                answer = self._quoted(found, dict(terms), at)
            except InconsistentPrices as error:
                reason = f"the prices of {found.prices.name} contradict each other: {error}{REMEDY}"
                answer = _Answer(_Unpriced(reason))
        return self._remembered(answer, provider, base_url, models, terms)

    def _quoted(self, found: Found, terms: dict[str, str], at: float) -> _Answer:
        """The card of what was found, if it has a price for what served the call."""
        quote = found.prices.quote(at, terms if found.terms_apply else {})
        if found.own:
            return _Answer(*quote)
        if missing := self.terms_without_price(found, terms, at):
            reason = f"the price book has no price of {found.prices.name} for {missing}{REMEDY}"
            return _Answer(_Unpriced(reason), quote.since, quote.until)
        factor = surcharge(terms.items(), found.prices)
        return (
            _Answer(*quote) if factor is None else _Answer(SurchargedCard(quote.card, factor), quote.since, quote.until)
        )

    def _remembered(
        self,
        answer: _Answer,
        provider: str | None,
        base_url: str | None,
        models: tuple[str | None, ...],
        terms: Terms,
    ) -> _Answer:
        texts = (provider, base_url, *models, *(text for term in terms for text in term))
        if sum(len(text) for text in texts if text is not None) <= _LONGEST:
            if len(self._answers) >= _LIMIT:
                self._answers = {}  # someone makes up names; what is in use comes back within microseconds
            self._answers[provider, base_url, models, terms] = answer
        return answer
