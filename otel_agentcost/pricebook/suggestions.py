"""Suggest other providers and similar names to a user who looks up a price that does not exist.

Suggestions only: no call is ever priced by a similar name. Used by `agentcost prices`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from otel_agentcost.pricebook.book import PriceBook
from otel_agentcost.pricebook.finder import PriceMatch
from otel_agentcost.pricebook.providers import ALIASES

_MAX_SUGGESTIONS = 3


def providers_of(book: PriceBook, model: str) -> list[str]:
    """Return the providers of the book that list a model by this name, its maker first."""
    if book.finder.overrides.models.find(model.lower()) is not None:
        return []  # the user's price applies to every provider; there is nothing to suggest
    matches = {provider: book.find((model,), None, provider) for provider in book.book.providers}
    known = [name for name, match in matches.items() if isinstance(match, PriceMatch) and match.provider == name]
    maker = book.finder.maker(model.rpartition("/")[2])
    return sorted(known, key=lambda name: name != maker)


def near_models(book: PriceBook, model: str, provider: str | None) -> list[str]:
    """Return names that are similar to `model`.

    Args:
        book: The book.
        model: A name without a price.
        provider: Where to look; None looks among the models of its maker, then of all providers.
    """
    finder = book.finder
    listed = finder.listed_provider(finder.provider_id(provider)) if provider is not None else None
    if listed is not None and (longer := [name for name in _ids(book, listed) if model.lower() in name]):
        return longer[:_MAX_SUGGESTIONS]
    own = {known.name for known in finder.overrides.models}
    first = listed or finder.maker(model)
    groups = [[first]] if first is not None else []
    for group in (*groups, list(book.book.providers)):
        names = own.union(*(_ids(book, name) for name in group))
        if near := difflib.get_close_matches(model.lower(), sorted(names), n=_MAX_SUGGESTIONS, cutoff=0.75):
            return near
    return []


def is_provider(book: PriceBook, name: str) -> bool:
    """Return True if the book, or the user's price file, has a provider of this name."""
    known = book.finder.provider_id(name)
    return known in book.book.providers or known in book.finder.overrides.providers


def near_provider(book: PriceBook, name: str) -> str | None:
    """Return the provider of the book whose name is most similar to `name`; None if none is similar."""
    return next(iter(difflib.get_close_matches(name, sorted({*book.book.providers, *ALIASES}), n=1, cutoff=0.75)), None)


def unreachable_providers(book: PriceBook) -> Iterator[str]:
    """Yield a sentence for each provider of the user's price file that no call can have."""
    for entry in book.finder.overrides.providers.values():
        if not entry.urls and entry.id not in book.book.providers:
            near = near_provider(book, entry.id)
            hint = f"; did you mean {near}?" if near else ": add the base URL of its calls."
            yield f"provider {entry.id} is not in the book and has no base_url{hint}"


def _ids(book: PriceBook, listed: str) -> Iterable[str]:
    return [str(entry["id"]).lower() for entry in book.book.models_of(listed).entries]
