"""The price book: the prices of all models of all providers, as data, and a user's price file that overrides them.

`open_book` is the entry point. Calls are priced by `PriceBook.price`, which never raises. Only opening can fail, and
only because of a user's file that cannot be read: with a `PriceFileError` that quotes what is wrong with it. Rows that
cannot be understood are in `PriceBook.problems`.
"""

from __future__ import annotations

from pathlib import Path

from otel_agentcost.core.prices import PrivateAddresses
from otel_agentcost.pricebook.book import PriceBook
from otel_agentcost.pricebook.compiled import BUNDLED, FORMAT, BookFile, read_book
from otel_agentcost.pricebook.finder import Finder, NoPrice, PriceMatch
from otel_agentcost.pricebook.overrides import OverrideModels, Overrides, read_overrides
from otel_agentcost.pricebook.price_file import PriceFileError, unreadable

__all__ = ["BUNDLED", "BookFile", "NoPrice", "PriceBook", "PriceFileError", "PriceMatch", "open_book", "read_book"]


def open_book(
    overrides: Path | None = None, private: PrivateAddresses = "priced", *, doubt: str | None = None
) -> PriceBook:
    """Open the bundled book.

    Args:
        overrides: A user's price file, whose prices override the book's. It can also be a compiled book, as
            `agentcost prices sync` writes one; then it replaces the bundled book.
        private: The price of calls to private addresses: that of the assumed provider, free, or none.
        doubt: Without a file, why any price of the book may be wrong; see `PriceBook`.

    Raises:
        PriceFileError: The file cannot be read. `open_book()` without a file never raises.
    """
    if overrides is None:
        return PriceBook(read_book(), private=private, doubt=doubt)
    if _is_compiled(overrides):
        return PriceBook(_other_book(overrides, overrides), private=private)
    user_prices = read_overrides(overrides)
    book = _named_book(user_prices, overrides)
    _check_references(user_prices, book)
    return PriceBook(book, user_prices, private)


def _is_compiled(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return FORMAT.rpartition(" ")[0].encode() in file.read(100)
    except OSError as error:
        raise unreadable(path, error) from None


def _other_book(path: Path, named_by: Path) -> BookFile:
    try:
        return read_book(path) if path != BUNDLED else read_book()
    except OSError as error:
        raise PriceFileError(named_by, f"its book {path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        which = "it" if path == named_by else f"its book {path}"
        raise PriceFileError(named_by, f"{which} is not a price book ({error})") from None


def _named_book(user_prices: Overrides, path: Path) -> BookFile:
    """Return the book that the file names. If it cannot be read: the bundled one, whose prices are then in doubt."""
    if user_prices.book is None:
        return read_book()
    try:
        return _other_book(user_prices.book, path)
    except PriceFileError as error:
        user_prices.reject_part(error.problem)
        return read_book()


def _check_references(user_prices: Overrides, book: BookFile) -> None:
    """Reject the rows that name a model or a provider which the book does not have."""
    finder = Finder(book, user_prices)
    groups: list[tuple[str | None, OverrideModels]] = [(None, user_prices.models)]
    groups += [(provider.id, provider.models) for provider in user_prices.providers.values()]
    for listed, models in groups:
        for model in list(models):
            if model.alias is not None and finder.alias(model, finder.listed_provider(listed)) is None:
                row = model.name if listed is None else f"{listed}/{model.name}"
                problem = f"model {row} is an alias for {model.alias!r:.80}, which the price book does not have"
                models.put(user_prices.reject(listed or "any", model.name, problem))
    for provider in user_prices.providers.values():
        if provider.like is not None and finder.provider_id(provider.like) not in book.providers:
            problem = f"provider {provider.id} is like {provider.like!r:.80}, which is not a provider of the price book"
            provider.models.put_last(user_prices.reject(provider.id, "*", problem))
