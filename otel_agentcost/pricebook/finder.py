"""Find the price that applies to a call, from the names of its provider and its model.

User-defined prices take precedence over the book, the address of the call over the SDK's name for the provider, and
the model that served the call over the requested one. A name that no rule matches has no price: nothing is guessed.
These lookups take their time; `book.py` keeps the results.

A model of one provider can be listed in the book under another (`like` in a user's price file). The provider whose
models are looked up is called the listed provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_agentcost.core.prices import ModelPrices, PriceList, PrivateAddresses
from otel_agentcost.pricebook.compiled import BookFile, Provider
from otel_agentcost.pricebook.hosts import find_host, host_of, is_private
from otel_agentcost.pricebook.matching import Rule, matches
from otel_agentcost.pricebook.overrides import OverrideModel, OverrideModels, Overrides
from otel_agentcost.pricebook.providers import canonical, is_local, name_of

REMEDY = "; add one to the file that OTEL_AGENTCOST_PRICES names"

OWN_PROVIDER = "; add a provider with this base_url to the file that OTEL_AGENTCOST_PRICES names"

FREE_ADDRESS: Final = ModelPrices("private address/free", [PriceList(prices={})])
"""The prices at private addresses, if the setting says that they are free."""

Names = tuple[str, ...]

Candidate = tuple[str, Names]
"""A provider, and the names under which it may list the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceMatch:
    """The prices that apply to a call."""

    provider: str
    """The provider that bills for the call."""
    model: str
    """The id of the model in the book, or its name (or wildcard) in the user's price file."""
    prices: ModelPrices
    terms_apply: bool = True
    """True if service tiers and the like set the price: not if a provider resells another's models."""
    overridden: bool = False
    """True if the price is from the user's price file."""
    seller: str = ""
    """The provider whose address or name the call has, if it is not the one whose prices apply (`like`, an alias)."""
    assumed: bool = False
    """True if the address of the call does not identify `provider`: a gateway or a local server can be there."""


@dataclass(frozen=True, slots=True)
class NoPrice:
    """No price applies to a call. `reason` is a sentence for people, without a full stop."""

    reason: str


class Finder:
    """Finds prices in a compiled book and in a user's price file."""

    def __init__(
        self, book: BookFile, overrides: Overrides | None = None, private: PrivateAddresses = "priced"
    ) -> None:
        """Create a finder.

        Args:
            book: The compiled book.
            overrides: The user's price file.
            private: The price of calls to private addresses: that of the assumed provider, free, or none.
        """
        self.book = book
        self.overrides = overrides if overrides is not None else Overrides()
        self.private = private

    def find(self, models: Sequence[str | None], base_url: str | None, provider: str | None) -> PriceMatch | NoPrice:
        """Find the prices of a model.

        Args:
            models: The names of the model: the served one, then the requested one.
            base_url: The address of the call.
            provider: The provider's name as the SDK or the instrumentation reports it.

        Returns:
            The prices, or the reason why there are none.
        """
        owner = self._by_url(base_url) if base_url else None
        if not base_url or owner is not None:
            return self._find(models, base_url, owner, provider)
        if self.overrides.unaddressed is not None:
            return NoPrice(self.overrides.unaddressed)
        if self.private != "priced" and is_private(host_of(base_url)[0]):
            return self._at_private_address(base_url, provider)
        match = self._find(models, base_url, None, provider)
        return replace(match, assumed=True) if isinstance(match, PriceMatch) else match

    def _find(
        self, models: Sequence[str | None], base_url: str | None, owner: str | None, provider: str | None
    ) -> PriceMatch | NoPrice:
        """Find the prices of a model. `owner` is the provider that the address identifies."""
        names = tuple(name for name in models if isinstance(name, str) and name)
        if not names:
            return NoPrice("the call names no model")
        candidate = None
        for candidate, spellings in self._candidates(names, base_url, owner, provider):
            if (match := self._match(candidate, spellings)) is not None:
                return match if isinstance(match, NoPrice) else replace(match, seller=candidate)
        if candidate is not None:
            return NoPrice(f"no price for {_quoted(names)} of {candidate}{REMEDY}")
        if (match := self._override_for_any_provider(names, provider)) is not None:
            return match
        if base_url is None and provider is None:
            return NoPrice(f"no price for {_quoted(names)}: the call names no provider{REMEDY}")
        where = _address(base_url, provider)
        return NoPrice(f"no price for {_quoted(names)}: {where} is not in the price book{REMEDY}")

    def seller(self, base_url: str, said: str, model: str | None) -> str:
        """Return the name of the provider whose prices apply to a call: the name and the price have one source.

        Args:
            base_url: The address of the call.
            said: The provider's name as the SDK or the instrumentation reports it.
            model: The requested model.

        Returns:
            The name in the GenAI conventions where they have one; `said` if the address and the model name no other.
        """
        if (owner := self._by_url(base_url)) is not None:
            routed = self._routed(owner, (model,)) if model is not None else None
            return name_of(owner, said) if routed is None else routed[0]
        match = self.find((model,), base_url, said)
        return said if isinstance(match, NoPrice) or match.prices is FREE_ADDRESS else name_of(match.provider, said)

    def knows(self, base_url: str) -> bool:
        """Return whether an address identifies a provider."""
        return self._by_url(base_url) is not None

    def maker(self, name: str) -> str | None:
        """Return the provider of the book whose naming scheme the model `name` follows (`gpt-...`: openai)."""
        return self._first(lambda known: known.models, name.lower())

    def provider_id(self, name: str) -> str | None:
        """Return the id of a provider.

        Args:
            name: Its id, its name in the GenAI conventions, or a name that matches the book's rule for it.
        """
        vendor = name.partition(".")[0]  # the Vercel AI SDK adds the interface: openai.responses, groq.chat
        exact = self._exact_id(name) or (self._exact_id(vendor) if vendor != name else None)
        return exact if exact is not None else self._first(lambda provider: provider.names, canonical(name))

    def alias(self, model: OverrideModel, listed_provider: str | None) -> PriceMatch | None:
        """Return the prices of the model of the book that an alias in the user's price file names.

        Args:
            model: The entry with the alias: `model` or `provider/model`.
            listed_provider: The provider to look in first.
        """
        name = model.alias or ""
        prefix, _, rest = name.partition("/")
        match = self._in_book(listed_provider, name) if listed_provider is not None else None
        return match or self._in_book(canonical(prefix), rest)

    def listed_provider(self, provider: str | None) -> str | None:
        """Return the provider of the book whose models and prices apply to `provider`: itself, or the one that it is
        `like` in the user's price file.
        """
        override = self.overrides.providers.get(provider) if provider is not None else None
        listed = self.provider_id(override.like) if override is not None and override.like is not None else provider
        return listed if listed in self.book.providers else None

    # --- The provider ---

    def _at_private_address(self, base_url: str | None, provider: str | None) -> PriceMatch | NoPrice:
        if self.private == "unpriced":
            where, setting = _address(base_url, provider), "OTEL_AGENTCOST_PRIVATE_ADDRESSES=unpriced"
            return NoPrice(f"{where} is private, and {setting}{OWN_PROVIDER}")
        return PriceMatch(provider=canonical(provider or "unknown"), model="*", prices=FREE_ADDRESS, overridden=True)

    def _candidates(
        self, names: Names, base_url: str | None, owner: str | None, provider: str | None
    ) -> Iterator[Candidate]:
        """Yield the providers that may bill for the call; the first that lists one of the names does.

        LiteLLM's address and name say nothing of the provider; its model names do.
        """
        through_litellm = provider is not None and provider.lower() == "litellm"
        if through_litellm and (prefixed := _split_prefix(names, self.provider_id)):
            yield prefixed
        elif owner is not None:
            if (routed := self._routed(owner, names)) is not None:
                yield routed
            yield from self._spellings(owner, names)
        elif provider is not None and not through_litellm and (said := self.provider_id(provider)) is not None:
            yield from self._named(said, names)
        elif not is_local(provider) and (prefixed := _split_prefix(names, self._exact_id)):
            yield prefixed
        elif base_url is None and (provider is None or through_litellm):
            yield from self._by_maker(names)

    def _routed(self, owner: str, names: Names) -> Candidate | None:
        """Return the seller that the end of a name chooses at a router (Hugging Face: `openai/gpt-oss-120b:groq`)."""
        for name in names:
            seller = f"{owner}_{name.rpartition(':')[2]}".lower() if ":" in name else ""
            if seller in self.book.providers:
                return seller, tuple(other.removesuffix(seller[len(owner) :].replace("_", ":", 1)) for other in names)
        return None

    def _named(self, owner: str, names: Names) -> Iterator[Candidate]:
        """Yield `owner`, unless the prefix of a name names another provider: then `owner` only resells that model,
        under its prefixed name if it has a price for it.
        """
        prefixed = _split_prefix(names, self._exact_id)
        if prefixed and prefixed[0] != owner:
            yield owner, tuple(name for name in names if "/" in name)
            yield prefixed
        else:
            yield from self._spellings(owner, names)

    def _by_maker(self, names: Names) -> Iterator[Candidate]:
        owner = next((owner for name in names if (owner := self.maker(name)) is not None), None)
        if owner is not None:
            yield owner, names

    def _spellings(self, owner: str, names: Names) -> Iterator[Candidate]:
        bare = tuple(self._without_prefix(owner, name) for name in names)
        if bare[0] != names[0]:  # the served model goes before the requested one, in either spelling
            yield owner, names[:1]
            yield owner, bare[:1]
        yield owner, names
        if bare != names:
            yield owner, bare

    def _without_prefix(self, owner: str, name: str) -> str:
        """Return `name` without the provider's own prefix or Google's resource path."""
        prefix, slash, rest = name.partition("/")
        if slash and self._exact_id(prefix) == owner:
            return rest
        return name.rpartition("models/")[2] if self.listed_provider(owner) == "google" else name

    def _exact_id(self, name: str) -> str | None:
        wanted = canonical(name)
        return wanted if wanted in self.overrides.providers or wanted in self.book.providers else None

    def _by_url(self, url: str) -> str | None:
        for provider in self.overrides.providers.values():
            if provider.serves(url):
                return provider.id
        if (rule := find_host(*host_of(url))) is not None:
            return rule.owner
        spellings = dict.fromkeys((url, url.lower()))
        return next((owner for text in spellings if (owner := self._first(lambda known: known.url, text))), None)

    def _first(self, rule: Callable[[Provider], Rule | None], text: str) -> str | None:
        for provider in self.book.providers.values():
            wanted = rule(provider)
            if wanted is not None and matches(wanted, text):
                return provider.id
        return None

    # --- The model ---

    def _match(self, provider: str, names: Names) -> PriceMatch | NoPrice | None:
        listed_provider = self.listed_provider(provider)
        listed = [self._in_book(listed_provider, name) for name in names]
        for models in self._override_models(provider):
            for position, (name, in_book) in enumerate(zip(names, listed, strict=True)):
                # The requested name says nothing about the served model, unless only the user's file has it.
                if position and listed[0] is not None and in_book is not None:
                    continue
                model = models.find(name.lower()) or (models.exact.get(in_book.model) if in_book is not None else None)
                if model is not None:
                    return self._override(provider, model, listed_provider)
        return next((match for match in listed if match is not None), None)

    def _override_models(self, provider: str) -> Iterator[OverrideModels]:
        if (override := self.overrides.providers.get(provider)) is not None:
            yield override.models
        yield self.overrides.models

    def _override_for_any_provider(self, names: Names, provider: str | None) -> PriceMatch | NoPrice | None:
        """Return the user's price for all providers, for a call whose provider is unknown or not in the book."""
        models = (self.overrides.models.find(name.lower()) for name in names)
        model = next((model for model in models if model is not None), None)
        return None if model is None else self._override(canonical(provider or "any provider"), model, None)

    def _override(
        self, provider: str, model: OverrideModel, listed_provider: str | None
    ) -> PriceMatch | NoPrice | None:
        if model.problem is not None:
            return NoPrice(model.problem)
        if model.prices is None:
            return self.alias(model, listed_provider)
        return PriceMatch(provider=provider, model=model.name, prices=model.prices, overridden=True)

    def _in_book(self, listed_provider: str | None, name: str) -> PriceMatch | None:
        entry = self.book.find(listed_provider, name) if listed_provider in self.book.providers else None
        if entry is None:
            return None
        owner, model, prices = entry
        terms_apply = owner == listed_provider
        return PriceMatch(provider=listed_provider or owner, model=model, prices=prices, terms_apply=terms_apply)


def _split_prefix(names: Names, identify: Callable[[str], str | None]) -> Candidate | None:
    """Return the provider that the prefix of a name identifies (gateways write `anthropic/claude-...`), and the names
    without that prefix.
    """
    for name in names:
        prefix, slash, _ = name.partition("/")
        owner = identify(prefix) if slash and prefix else None
        if owner is not None:
            start = prefix + slash
            return owner, tuple(other.removeprefix(start) for other in names)
    return None


def _quoted(names: Names) -> str:
    return " or ".join(f"{name[:80]!r}" for name in dict.fromkeys(names))


def _address(base_url: str | None, provider: str | None) -> str:
    if base_url is None:
        return f"provider {(provider or '')[:80]!r}"
    scheme, _, rest = base_url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]  # a password in the address stays out of telemetry
    address = f"{scheme}://{host}"[:200] if host else "the address of the call"
    return address + (f" (provider {provider[:80]!r})" if provider is not None else "")
