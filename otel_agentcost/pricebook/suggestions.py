"""What may have been meant, for people who look up a price that is not there: other sellers, and names that are near.

Suggestions only: no call is ever priced by a name that merely resembles one. Called by `agentcost prices`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from otel_agentcost.pricebook.book import PriceBook
from otel_agentcost.pricebook.finder import Found
from otel_agentcost.pricebook.providers import ALIASES

_MOST = 3


def sellers(book: PriceBook, model: str) -> list[str]:
    """The providers of the book that sell a model by this name, its maker first."""
    if book.finder.own.models.find(model.lower()) is not None:
        return []  # an own price whoever the provider is: that is everybody, and says nothing
    found = {provider: book.find((model,), None, provider) for provider in book.book.providers}
    known = [name for name, entry in found.items() if isinstance(entry, Found) and entry.provider == name]
    maker = book.finder.maker(model.rpartition("/")[2])
    return sorted(known, key=lambda name: name != maker)


def near_models(book: PriceBook, model: str, provider: str | None) -> list[str]:
    """Names of models that resemble `model`: of `provider` where one is given, else of its maker, else of anyone."""
    finder = book.finder
    shelf = finder.shelf(finder.provider_id(provider)) if provider is not None else None
    if shelf is not None and (longer := [name for name in _ids(book, shelf) if model.lower() in name]):
        return longer[:_MOST]
    own = {known.name for known in finder.own.models}
    first = shelf or finder.maker(model)
    shelves = [[first]] if first is not None else []
    for group in (*shelves, list(book.book.providers)):
        names = own.union(*(_ids(book, name) for name in group))
        if near := difflib.get_close_matches(model.lower(), sorted(names), n=_MOST, cutoff=0.75):
            return near
    return []


def near_provider(book: PriceBook, name: str) -> str | None:
    """The provider of the book whose name resembles `name` most, if any does."""
    return next(iter(difflib.get_close_matches(name, sorted({*book.book.providers, *ALIASES}), n=1, cutoff=0.75)), None)


def _ids(book: PriceBook, shelf: str) -> Iterable[str]:
    return [str(entry["id"]).lower() for entry in book.book.shelf(shelf).entries]
