"""Price a call: its usage, provider, address and model names go in, its cost comes out.

The results of `finder.py` are cached (bounded, and also for names that have no price), so that a call is priced in
about two microseconds. `price` never raises. Threads can share a book: every step reads or replaces a whole entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import InconsistentPrices
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook.compiled import BookFile
from otel_agentcost.pricebook.finder import REMEDY, Finder, NoPrice, PriceMatch
from otel_agentcost.pricebook.overrides import Overrides
from otel_agentcost.pricebook.service_tiers import SurchargedCard, surcharge, terms_without_price

Terms = tuple[tuple[str, str], ...]

_MAX_ENTRIES = 2048
_MAX_KEY_LENGTH = 500


class _Pricing(Protocol):
    def cost(self, usage: Usage, /) -> Cost: ...


class _Unpriced:
    """Takes the place of a card where there is none: every usage costs "unknown, because ..."."""

    __slots__ = ("_cost",)

    def __init__(self, reason: str) -> None:
        self._cost = Cost.unknown(reason)

    def cost(self, _usage: Usage, /) -> Cost:
        return self._cost


class _Doubted:
    """Adds a reason for doubt to every cost of a card."""

    __slots__ = ("_doubt", "_pricing")

    def __init__(self, pricing: _Pricing, doubt: str) -> None:
        self._pricing = pricing
        self._doubt = doubt

    def cost(self, usage: Usage, /) -> Cost:
        cost = self._pricing.cost(usage)
        return cost if cost.unpriced is not None else cost._replace(unpriced=self._doubt)


class _Answer(NamedTuple):
    pricing: _Pricing
    since: float = -math.inf
    until: float = math.inf


class PriceBook:
    """Prices calls by a compiled book and a user's price file that overrides it."""

    def __init__(self, book: BookFile, overrides: Overrides | None = None, *, doubt: str | None = None) -> None:
        """Make a book.

        Args:
            book: The compiled book.
            overrides: The user's price file.
            doubt: Why any price may be wrong: the user's price file cannot be used. Each cost has it as `unpriced`.
        """
        self._doubt = doubt
        self.book = book
        self.finder = Finder(book, overrides)
        self._answers: dict[tuple[str | None, str | None, tuple[str | None, ...], Terms], _Answer] = {}

    @property
    def source(self) -> str:
        """The origin and version of the prices, for people."""
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
        """Return the cost of `usage`. Never raises.

        Args:
            usage: The disjoint counts of the call.
            provider: The provider's name as the SDK or the instrumentation reports it.
            base_url: The address of the call.
            models: The name of the model that served the call, then the requested one.
            at: The time of the call, in seconds of the epoch.
            terms: Further conditions of the price: pairs such as `("service_tier", "flex")`.

        Returns:
            US dollars with their parts, or the reason why there are none.
        """
        try:
            answer = self._answers.get((provider, base_url, models, terms))
            if answer is None or not answer[1] <= at < answer[2]:
                answer = self._answer(provider, base_url, models, at, terms)
            return answer[0].cost(usage)
        except Exception as error:  # a provider or an SDK can put anything into these values
            return Cost.unknown(f"the price could not be computed ({type(error).__name__}: {error!s:.200})")

    def find(self, models: Sequence[str | None], base_url: str | None, provider: str | None) -> PriceMatch | NoPrice:
        """Find the prices that apply to a call; see `Finder.find`."""
        return self.finder.find(models, base_url, provider)

    def terms_without_price(self, match: PriceMatch, terms: Mapping[str, str], at: float) -> str:
        """Return the terms for which the book has no price of the model, as text; "" for none.

        A user's price applies under all terms that it does not name.
        """
        if match.overridden:
            return ""
        owner = match.prices.name.partition("/")[0]
        variants = match.prices.variants if match.terms_apply else ()
        return terms_without_price(terms, variants, self.book.models_of(owner).terms, at)

    def _answer(
        self, provider: str | None, base_url: str | None, models: tuple[str | None, ...], at: float, terms: Terms
    ) -> _Answer:
        match = self.find(models, base_url, provider)
        if isinstance(match, NoPrice):
            answer = _Answer(_Unpriced(match.reason))
        else:
            try:
                answer = self._with_card(match, dict(terms), at)
            except InconsistentPrices as error:
                remedy = "the file that OTEL_AGENTCOST_PRICES names can override them"
                reason = f"the prices of {match.prices.name} contradict each other: {error}; {remedy}"
                answer = _Answer(_Unpriced(reason))
        if self._doubt is not None:
            answer = answer._replace(pricing=_Doubted(answer.pricing, self._doubt))
        return self._cached(answer, provider, base_url, models, terms)

    def _with_card(self, match: PriceMatch, terms: dict[str, str], at: float) -> _Answer:
        """Return the card of a match, or the reason why it has no price for what served the call."""
        quote = match.prices.quote(at, terms if match.terms_apply else {})
        if match.overridden:
            return _Answer(*quote)
        if missing := self.terms_without_price(match, terms, at):
            reason = f"the price book has no price of {match.prices.name} for {missing}{REMEDY}"
            return _Answer(_Unpriced(reason), quote.since, quote.until)
        factor = surcharge(terms.items(), match.prices)
        if factor is None:
            return _Answer(*quote)
        return _Answer(SurchargedCard(quote.card, factor), quote.since, quote.until)

    def _cached(
        self,
        answer: _Answer,
        provider: str | None,
        base_url: str | None,
        models: tuple[str | None, ...],
        terms: Terms,
    ) -> _Answer:
        texts = (provider, base_url, *models, *(text for term in terms for text in term))
        if sum(len(text) for text in texts if text is not None) <= _MAX_KEY_LENGTH:
            if len(self._answers) >= _MAX_ENTRIES:
                self._answers = {}  # names are made up without end; those in use return within microseconds
            self._answers[provider, base_url, models, terms] = answer
        return answer
