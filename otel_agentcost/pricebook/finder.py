"""Which price applies to a call: the rules by which its provider and its model are found.

Own prices go before the book; the address of the call goes before what the SDK calls itself; the model that served
the call goes before the one asked for. A name that no rule knows has no price: nothing is guessed. Pure lookups, the
slow way; `book.py` remembers the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from otel_agentcost.core.prices import ModelPrices
from otel_agentcost.pricebook.compiled import BookFile, Provider
from otel_agentcost.pricebook.matching import Rule, matches
from otel_agentcost.pricebook.overrides import OwnModel, OwnModels, OwnPrices
from otel_agentcost.pricebook.providers import canonical, is_local

REMEDY = "; add one to your price file (OTEL_AGENTCOST_PRICES)"

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The prices that apply to a call."""

    provider: str
    """Who bills for it."""
    model: str
    """The id of the model in the book, or its name (or wildcard) in the own price file."""
    prices: ModelPrices
    terms_apply: bool = True
    """Whether service tiers and the like set the price: not where a provider sells another's models."""
    own: bool = False
    """Whether the price is from the own price file."""


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no price, and why: a sentence for people, without a full stop."""

    reason: str


class Finder:
    """Finds prices in a compiled book and a user's own prices over it."""

    def __init__(self, book: BookFile, own: OwnPrices | None = None) -> None:
        self.book = book
        self.own = own if own is not None else OwnPrices()

    def find(self, models: Sequence[str | None], base_url: str | None, provider: str | None) -> Found | Missing:
        """The prices of the model that goes by `models` (the served name, then the requested one)."""
        names = tuple(name for name in models if isinstance(name, str) and name)
        if not names:
            return Missing("the call names no model")
        seller = None
        for seller, spelled in self._sellers(names, base_url, provider):
            if (found := self._on_sale(seller, spelled)) is not None:
                return found
        if seller is not None:
            return Missing(f"no price for {_quoted(names)} of {seller}{REMEDY}")
        if (found := self._whoever_sells(names, provider)) is not None:
            return found
        if base_url is None and provider is None:
            return Missing(f"no price for {_quoted(names)}: the provider is unknown{REMEDY}")
        whose = _whose(base_url, provider)
        return Missing(f"no price for {_quoted(names)}: {whose} is not in the price book{REMEDY}")

    def maker(self, name: str) -> str | None:
        """The provider of the book whose own models are called like `name`."""
        return self._first(lambda known: known.models, name.lower())

    def provider_id(self, name: str) -> str | None:
        """The provider that goes by `name`: its id, its name in the GenAI conventions, or as the book describes it."""
        vendor = name.partition(".")[0]  # the Vercel AI SDK adds the interface: openai.responses, groq.chat
        exact = self._exact(name) or (self._exact(vendor) if vendor != name else None)
        return exact if exact is not None else self._first(lambda provider: provider.names, canonical(name))

    def alias(self, model: OwnModel, shelf: str | None) -> Found | None:
        """What the own `model` stands for: a model of `shelf`, or of the provider before its slash."""
        name = model.alias or ""
        prefix, _, rest = name.partition("/")
        found = self._in_book(shelf, name) if shelf is not None else None
        return found or self._in_book(canonical(prefix), rest)

    def _sellers(self, names: Names, base_url: str | None, provider: str | None) -> Iterator[tuple[str, Names]]:
        """Who may sell the model, and by which names; the first who knows one of them is the one."""
        through_litellm = provider is not None and provider.lower() == "litellm"
        if through_litellm and (prefixed := _prefixed(names, self.provider_id)):
            yield prefixed
        elif base_url is not None and (owner := self._by_url(base_url)) is not None:
            yield from self._spellings(owner, names)
        elif provider is not None and not through_litellm and (owner := self.provider_id(provider)) is not None:
            prefixed = _prefixed(names, self._exact)
            if prefixed and prefixed[0] != owner:
                yield owner, tuple(name for name in names if "/" in name)  # openai/gpt-oss of a reseller is its own
                yield prefixed
            else:
                yield from self._spellings(owner, names)
        elif not is_local(provider) and (prefixed := _prefixed(names, self._exact)):
            yield prefixed
        elif base_url is None and (provider is None or through_litellm):
            for name in names:
                if (owner := self.maker(name)) is not None:
                    yield owner, names
                    return

    def _spellings(self, owner: str, names: Names) -> Iterator[tuple[str, Names]]:
        bare = tuple(self._bare(owner, name) for name in names)
        if bare[0] != names[0]:  # what served the call goes before what was asked for, with its prefix or without
            yield owner, names[:1]
            yield owner, bare[:1]
        yield owner, names
        if bare != names:
            yield owner, bare

    def _bare(self, owner: str, name: str) -> str:
        """`name` without what only says whose it is: the provider's own prefix, or Google's resource path."""
        prefix, slash, rest = name.partition("/")
        if slash and self._exact(prefix) == owner:
            return rest
        return name.rpartition("models/")[2] if self.shelf(owner) == "google" else name

    def _exact(self, name: str) -> str | None:
        wanted = canonical(name)
        return wanted if wanted in self.own.providers or wanted in self.book.providers else None

    def _by_url(self, url: str) -> str | None:
        for entry in self.own.providers.values():
            if entry.serves(url):
                return entry.id
        spellings = dict.fromkeys((url, url.lower()))
        return next((owner for text in spellings if (owner := self._first(lambda known: known.url, text))), None)

    def _first(self, rule: Callable[[Provider], Rule | None], text: str) -> str | None:
        for provider in self.book.providers.values():
            wanted = rule(provider)
            if wanted is not None and matches(wanted, text):
                return provider.id
        return None

    def shelf(self, seller: str | None) -> str | None:
        """The provider of the book whose models `seller` sells, where the own file does not say otherwise."""
        own = self.own.providers.get(seller) if seller is not None else None
        shelf = self.provider_id(own.like) if own is not None and own.like is not None else seller
        return shelf if shelf in self.book.providers else None

    def _on_sale(self, seller: str, names: Names) -> Found | None:
        shelf = self.shelf(seller)
        listed = [self._in_book(shelf, name) for name in names]
        for models in self._own_models(seller):
            for position, (name, known) in enumerate(zip(names, listed, strict=True)):
                # What was asked for says nothing about what served the call, unless only the user knows the name.
                if position and listed[0] is not None and known is not None:
                    continue
                model = models.find(name.lower()) or (models.exact.get(known.model) if known is not None else None)
                if model is not None:
                    return self._own_price(seller, model, shelf)
        return next((found for found in listed if found is not None), None)

    def _own_models(self, seller: str) -> Iterator[OwnModels]:
        if (own := self.own.providers.get(seller)) is not None:
            yield own.models
        yield self.own.models

    def _whoever_sells(self, names: Names, provider: str | None) -> Found | None:
        """The own model for all providers, where the call is of a provider that the book does not know, or of none."""
        models = (self.own.models.find(name.lower()) for name in names)
        model = next((model for model in models if model is not None), None)
        return None if model is None else self._own_price(canonical(provider or "any provider"), model, None)

    def _own_price(self, seller: str, model: OwnModel, shelf: str | None) -> Found | None:
        if model.prices is None:
            return self.alias(model, shelf)
        return Found(provider=seller, model=model.name, prices=model.prices, own=True)

    def _in_book(self, shelf: str | None, name: str) -> Found | None:
        found = self.book.find(shelf, name) if shelf in self.book.providers else None
        if found is None:
            return None
        owner, model, prices = found
        return Found(provider=shelf or owner, model=model, prices=prices, terms_apply=owner == shelf)


def _prefixed(names: Names, identify: Callable[[str], str | None]) -> tuple[str, Names] | None:
    """The provider that a name itself names (`anthropic/claude-...`, as gateways write it), and the names without."""
    for name in names:
        prefix, slash, _ = name.partition("/")
        owner = identify(prefix) if slash and prefix else None
        if owner is not None:
            start = prefix + slash
            return owner, tuple(other.removeprefix(start) for other in names)
    return None


def _quoted(names: Names) -> str:
    return " or ".join(f"{name[:80]!r}" for name in dict.fromkeys(names))


def _whose(base_url: str | None, provider: str | None) -> str:
    if base_url is None:
        return f"provider {(provider or '')[:80]!r}"
    scheme, _, rest = base_url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]  # a password in the address stays out of telemetry
    address = f"{scheme}://{host}"[:200] if host else "the address of the call"
    return address + (f" (provider {provider[:80]!r})" if provider is not None else "")
