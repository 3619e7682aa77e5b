"""The price book: what every model of every provider costs, as data, and a user's own prices over it.

`open_book` is the way in. Calls are priced by `PriceBook.price`, which never raises; only opening can fail, and only
because of a user's own file, with one `PriceFileError` whose text is a sentence for people.
"""

from __future__ import annotations

from pathlib import Path

from otel_agentcost.pricebook.book import PriceBook
from otel_agentcost.pricebook.compiled import BUNDLED, FORMAT, BookFile, read_book
from otel_agentcost.pricebook.finder import Finder, Found, Missing
from otel_agentcost.pricebook.overrides import OwnModels, OwnPrices, read_own
from otel_agentcost.pricebook.price_file import PriceFileError, unreadable

__all__ = ["BUNDLED", "BookFile", "Found", "Missing", "PriceBook", "PriceFileError", "open_book", "read_book"]


def open_book(overrides: Path | None = None) -> PriceBook:
    """The bundled book, with the prices in the file `overrides` over it.

    That file may also be a compiled book (as `agentcost prices sync` writes one): it then replaces the bundled one.
    Raises `PriceFileError` where the file cannot be used; the caller decides, and `open_book()` always works.
    """
    if overrides is None:
        return PriceBook(read_book())
    if _compiled(overrides):
        return PriceBook(_other_book(overrides, overrides))
    own = read_own(overrides)
    book = read_book() if own.book is None else _other_book(own.book, overrides)
    _check_references(own, book, overrides)
    return PriceBook(book, own)


def _compiled(path: Path) -> bool:
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


def _check_references(own: OwnPrices, book: BookFile, path: Path) -> None:
    finder = Finder(book, own)
    shelves: list[tuple[str | None, OwnModels]] = [(None, own.models)]
    shelves += [(provider.id, provider.models) for provider in own.providers.values()]
    for provider in own.providers.values():
        if provider.like is not None and finder.provider_id(provider.like) not in book.providers:
            problem = f"provider {provider.id} is like {provider.like!r:.80}, which is not a provider of the price book"
            raise PriceFileError(path, problem)
    for shelf, models in shelves:
        for model in models:
            if model.alias is not None and finder.alias(model, finder.shelf(shelf)) is None:
                problem = f"model {model.name} is an alias for {model.alias!r:.80}, which the price book does not have"
                raise PriceFileError(path, problem)
