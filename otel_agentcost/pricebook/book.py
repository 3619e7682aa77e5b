"""Price a call: its usage, provider, address and model names go in, its cost comes out.

The results of `finder.py` are cached (bounded, and also for names that have no price), so that a call is priced in
about two microseconds. `price` never raises. Threads can share a book: every step reads or replaces a whole entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Endpoint
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import Card, InconsistentPrices, PrivateAddresses, TextRates
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.pricebook.compiled import BookFile
from otel_agentcost.pricebook.finder import FREE_ADDRESS, REMEDY, Finder, NoPrice, PriceMatch
from otel_agentcost.pricebook.overrides import Overrides
from otel_agentcost.pricebook.price_file import PriceFileError
from otel_agentcost.pricebook.service_tiers import lacks_batch_price, terms_without_price
from otel_agentcost.pricebook.uplifts import Uplift, UpliftedCard, known_uplifts

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


class _Assumed:
    """Marks the costs of a card whose provider is assumed."""

    __slots__ = ("_pricing",)

    def __init__(self, pricing: _Pricing) -> None:
        self._pricing = pricing

    def cost(self, usage: Usage, /) -> Cost:
        cost = self._pricing.cost(usage)
        return cost._replace(assumed=True) if cost.usd is not None else cost


class _Answer(NamedTuple):
    pricing: _Pricing
    since: float = -math.inf
    until: float = math.inf


class PriceBook:
    """Prices calls by a compiled book and a user's price file that overrides it."""

    def __init__(
        self,
        book: BookFile,
        overrides: Overrides | None = None,
        private: PrivateAddresses = "priced",
        *,
        doubt: str | None = None,
    ) -> None:
        """Create a book.

        Args:
            book: The compiled book.
            overrides: The user's price file.
            private: The price of calls to private addresses: that of the assumed provider, free, or none.
            doubt: Why any price of the book may be wrong: the user's price file cannot be used. Each cost has it as
                `unpriced`.
        """
        self.book = book
        self.finder = Finder(book, overrides, private)
        self._doubt = doubt or self.finder.overrides.doubt
        self._names: dict[tuple[str, str, str | None], str] = {}
        self._answers: dict[tuple[str | None, str | None, tuple[str | None, ...], Terms], _Answer] = {}

    @property
    def source(self) -> str:
        """The origin and version of the prices, for people."""
        return f"genai-prices {self.book.version} of {self.book.date}"

    @property
    def problems(self) -> Sequence[PriceFileError]:
        """A sentence for each row of the user's price file that cannot be understood."""
        return self.finder.overrides.problems

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
            reraise_foreign(error)
            return Cost.unknown(f"the price could not be computed ({type(error).__name__}: {error!s:.200})")

    def text_rates(
        self,
        inputs: tuple[Kind, ...],
        *,
        provider: str | None,
        base_url: str | None,
        models: tuple[str | None, ...],
        at: float,
        terms: Terms = (),
    ) -> TextRates | None:
        """Return the prices of text whose input is of the dearest of `inputs`; None if `price` has to be asked.

        The other arguments are those of `price`.
        """
        try:
            answer = self._answers.get((provider, base_url, models, terms))
            if answer is None or not answer[1] <= at < answer[2]:
                answer = self._answer(provider, base_url, models, at, terms)
            pricing = answer[0]
            return pricing.text_rates(inputs) if type(pricing) is Card else None
        except Exception as error:  # `price` says what is wrong
            reraise_foreign(error)
            return None

    def seller(self, base_url: str, said: str, model: str | None) -> str:
        """Return the name of the provider whose prices apply to a call; see `Finder.seller`. Results are cached."""
        prefixed = model if model is not None and "/" in model else None  # no other name names a provider
        key = (base_url, said, prefixed)
        name = self._names.get(key)
        if name is None:
            name = self.finder.seller(base_url, said, prefixed)
            if len(self._names) >= _MAX_ENTRIES:
                self._names = {}
            if len(base_url) + len(said) + len(prefixed or "") <= _MAX_KEY_LENGTH:
                self._names[key] = name
        return name

    def resolve(self, endpoint: Endpoint, model: str | None) -> Endpoint:
        """Return `endpoint` under the name of the provider whose prices apply.

        Args:
            endpoint: The endpoint as the seam knows it, with the provider of its address or of its SDK, or as resolved
                for another model.
            model: The requested model, whose prefix may name another provider (`anthropic/claude-...`).
        """
        provider = self.seller(endpoint.base_url, endpoint.said, model)
        if provider == endpoint.provider:
            return endpoint
        attributes = {**endpoint.attributes, semconv.PROVIDER: provider}
        return replace(endpoint, provider=provider, default=endpoint.said, attributes=attributes)

    def find(self, models: Sequence[str | None], base_url: str | None, provider: str | None) -> PriceMatch | NoPrice:
        """Find the prices that apply to a call; see `Finder.find`."""
        return self.finder.find(models, base_url, provider)

    def refusal(self, match: PriceMatch, base_url: str | None, terms: Mapping[str, str], at: float) -> str | None:
        """Return the reason why the book has no price for what served a call; None if it has one.

        Args:
            match: The prices of the model.
            base_url: The address of the call.
            terms: What served the call, by term.
            at: The time of the call, in seconds of the epoch.
        """
        name = match.prices.name
        uplift = self.uplift(match, base_url, terms, at)
        if uplift is not None and uplift.problem is not None:
            return uplift.problem
        if uplift is not None and uplift.factor is None:
            there = f" at {_host(base_url)}" if uplift.addresses else ""
            reason = f"the price of {name}{there}{_said(uplift.when)} differs from the standard price and is not known"
            return f"{reason}{REMEDY}"
        missing = self._terms_without_price(match, terms, at)
        if uplift is not None:
            missing = {key: value for key, value in missing.items() if key not in uplift.when}
        if not missing:
            return None
        return f"the price book has no price of {name}{_said(missing)}{REMEDY}"

    def uplifts_of(self, seller: str) -> tuple[Uplift, ...]:
        """Return the uplifts of a provider in the order in which they are tried: the user's, then those of the data."""
        own = self.finder.overrides.providers.get(seller)
        return (*(own.uplifts if own is not None else ()), *self._known_uplifts(seller))

    def uplifts(self, match: PriceMatch) -> tuple[Uplift, ...]:
        """Return the uplifts that can apply to a model. A user's price has the user's uplifts only."""
        seller = match.seller or match.provider
        known = self._known_uplifts(seller)
        terms = {key for variant in match.prices.variants for key in variant.terms or {}}
        return tuple(
            row
            for row in self.uplifts_of(seller)
            if row.concerns(match.model) and not (row in known and (match.overridden or row.when.keys() & terms))
        )

    def _known_uplifts(self, seller: str) -> tuple[Uplift, ...]:
        return known_uplifts().get(self.finder.listed_provider(seller) or seller, ())

    def uplift(self, match: PriceMatch, base_url: str | None, terms: Mapping[str, str], at: float) -> Uplift | None:
        """Return the uplift that applies to a call; None if none does. The arguments are those of `refusal`."""
        return next((row for row in self.uplifts(match) if row.applies(match.model, base_url, terms, at)), None)

    def _terms_without_price(self, match: PriceMatch, terms: Mapping[str, str], at: float) -> dict[str, str]:
        """Return the terms for which the book has no price of the model.

        A user's price applies under all terms that it does not name, except in batches. What is free is free under all
        terms.
        """
        if not terms or not any(one.prices for one in match.prices.lists):
            return {}
        if match.overridden:
            batch = {key: value for key, value in terms.items() if key == "processing"}
            return batch if batch and lacks_batch_price(match.prices) else {}
        owner = match.prices.name.partition("/")[0]
        variants = match.prices.variants if match.terms_apply else ()
        return terms_without_price(terms, variants, self.book.models_of(owner).terms, match.provider, at)

    def _answer(
        self, provider: str | None, base_url: str | None, models: tuple[str | None, ...], at: float, terms: Terms
    ) -> _Answer:
        match = self.find(models, base_url, provider)
        if isinstance(match, NoPrice):
            answer = _Answer(_Unpriced(match.reason))
        else:
            try:
                answer = self._with_card(match, base_url, dict(terms), at)
                if match.assumed:
                    answer = answer._replace(pricing=_Assumed(answer.pricing))
            except InconsistentPrices as error:
                remedy = "the file that OTEL_AGENTCOST_PRICES names can override them"
                reason = f"the prices of {match.prices.name} contradict each other: {error}; {remedy}"
                answer = _Answer(_Unpriced(reason))
        own = isinstance(match, PriceMatch) and match.overridden and match.prices is not FREE_ADDRESS
        if self._doubt is not None and not own:
            answer = answer._replace(pricing=_Doubted(answer.pricing, self._doubt))
        return self._cached(answer, provider, base_url, models, terms)

    def _with_card(self, match: PriceMatch, base_url: str | None, terms: dict[str, str], at: float) -> _Answer:
        """Return the card of a match, or the reason why it has no price for what served the call."""
        card, since, until = match.prices.quote(at, terms if match.terms_apply else {})
        turns = [row.start for row in self.uplifts(match) if row.start is not None]
        since = max([since, *(turn for turn in turns if turn <= at)])
        until = min([until, *(turn for turn in turns if turn > at)])
        if (reason := self.refusal(match, base_url, terms, at)) is not None:
            return _Answer(_Unpriced(reason), since, until)
        uplift = self.uplift(match, base_url, terms, at)
        pricing = card if uplift is None or uplift.factor is None else UpliftedCard(card, uplift.factor)
        return _Answer(pricing, since, until)

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


def _said(terms: Mapping[str, str]) -> str:
    text = ", ".join(sorted(f"{key} {value!r:.60}" for key, value in terms.items()))
    return f" for {text}" if text else ""


def _host(url: str | None) -> str:
    """Return the host of an address, without a password that the address may have."""
    return (url or "").rpartition("://")[2].partition("/")[0].rpartition("@")[2][:200]
