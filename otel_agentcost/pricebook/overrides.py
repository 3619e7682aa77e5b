"""A user's own price file: models that are added, overridden, renamed or free, and providers of their own.

It is read once, at start-up, and wholly checked then: one mistake refuses the file with a `PriceFileError` that
quotes it and says what to do, because half a price list is a wrong price. docs/prices.md describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any

from otel_agentcost.core.prices import PRICE_KEYS, InconsistentPrices, ModelPrices, PriceList
from otel_agentcost.pricebook.matching import dashed_date
from otel_agentcost.pricebook.price_file import PriceFileError, read_text
from otel_agentcost.pricebook.price_lists import PriceError, as_list, as_mapping, read_model
from otel_agentcost.pricebook.providers import canonical

_WILD = re.compile(r"[*?\[]")
_CONDITIONS = ("start_date", "start_time", "end_time")
_FREE = ModelPrices("free", [PriceList(prices={})])


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModel:
    """One model of the file: prices of its own, or another's name (`alias`: `model` or `provider/model`)."""

    name: str
    prices: ModelPrices | None = None
    alias: str | None = None


@dataclass(slots=True)
class OwnModels:
    """The models of one provider, or those for all providers: exact names go before wildcards."""

    exact: dict[str, OwnModel] = field(default_factory=dict[str, OwnModel])
    wild: list[tuple[re.Pattern[str], OwnModel]] = field(default_factory=list[tuple[re.Pattern[str], OwnModel]])

    def find(self, name: str) -> OwnModel | None:
        """The model that goes by `name`, in lower case."""
        for spelling in (name, dashed_date(name)):
            if (found := self.exact.get(spelling)) is not None:
                return found
        return next((model for pattern, model in self.wild if pattern.match(name)), None)

    def __iter__(self) -> Iterator[OwnModel]:
        yield from self.exact.values()
        yield from (model for _, model in self.wild)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnProvider:
    """A provider of the file: one that the book knows, or one of the user's own with its base URLs."""

    id: str
    urls: tuple[str, ...]
    like: str | None
    """A provider of the book whose prices apply to whatever the file does not list."""
    models: OwnModels

    def serves(self, url: str) -> bool:
        """Whether `url` is one of its base URLs, or below one."""
        return any(_below(url.lower(), pattern) for pattern in self.urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrices:
    """What an own price file says."""

    path: Path | None = None
    book: Path | None = None
    """A compiled book to use in place of the bundled one."""
    providers: Mapping[str, OwnProvider] = field(default_factory=dict[str, OwnProvider])
    models: OwnModels = field(default_factory=OwnModels)


def _below(url: str, pattern: str) -> bool:
    if "://" not in pattern:
        _, _, url = url.rpartition("://")
    if _WILD.search(pattern):
        return re.match(translate(pattern.rstrip("*") + "*"), url) is not None
    return url.startswith(pattern) and url[len(pattern) : len(pattern) + 1] in {"", "/", "?", "#"}


def read_own(path: Path) -> OwnPrices:
    """The prices in `path` (JSON where it ends in .json, else YAML). Raises `PriceFileError`."""
    written = read_text(path)
    _known(path, "the file", written, {"book", "providers", "models"})
    book = written.get("book")
    if book is not None and not isinstance(book, str):
        raise PriceFileError(path, f"book is {book!r:.80}, which is not the name of a file")
    providers: dict[str, OwnProvider] = {}
    for name, entry in _mapping(path, "providers", written.get("providers")).items():
        provider = _provider(path, canonical(name), entry)
        if provider.id in providers:
            raise PriceFileError(path, f"provider {provider.id} occurs twice, the second time as {name!r:.80}")
        providers[provider.id] = provider
    models = _models(path, "any", _mapping(path, "models", written.get("models")))
    return OwnPrices(path=path, book=path.parent / book if book else None, providers=providers, models=models)


def _provider(path: Path, name: str, entry: object) -> OwnProvider:
    fields = _mapping(path, f"provider {name}", entry)
    _known(path, f"provider {name}", fields, {"base_url", "like", "models"})
    written = fields.get("base_url", [])
    urls = [written] if isinstance(written, str) else as_list(written)
    if urls is None or not all(isinstance(url, str) and url for url in urls):
        raise PriceFileError(path, f"base_url of provider {name} is {written!r:.80}, which is not an address")
    like = fields.get("like")
    if like is not None and not isinstance(like, str):
        raise PriceFileError(path, f"like of provider {name} is {like!r:.80}, which is not the name of a provider")
    return OwnProvider(
        id=name,
        urls=tuple(url.lower().rstrip("/") for url in urls),
        like=like,
        models=_models(path, name, _mapping(path, f"models of {name}", fields.get("models"))),
    )


def _models(path: Path, provider: str, written: Mapping[str, Any]) -> OwnModels:
    models = OwnModels()
    for name, entry in written.items():
        model = _model(path, provider, name.lower(), entry)
        if model.name in models.exact or any(model.name == other.name for _, other in models.wild):
            raise PriceFileError(path, f"{name!r:.80} occurs twice: model names are not case-sensitive")
        if _WILD.search(name):
            models.wild.append((re.compile(translate(model.name)), model))
        else:
            models.exact[model.name] = model
    return models


def _model(path: Path, provider: str, name: str, entry: object) -> OwnModel:
    if isinstance(entry, str) and entry.lower() == "free":
        return OwnModel(name=name, prices=ModelPrices(f"{provider}/{name}", _FREE.lists))
    fields = dict(_mapping(path, f"model {name}", entry))
    if not fields:
        raise PriceFileError(path, f"model {name} has no prices: write free if it costs nothing")
    if "alias" in fields:
        alias = fields.pop("alias")
        if fields or not isinstance(alias, str) or not alias:
            raise PriceFileError(path, f"model {name} has an alias {alias!r:.80}: an alias has no other fields")
        return OwnModel(name=name, alias=alias.lower())
    try:
        return OwnModel(name=name, prices=_prices(f"{provider}/{name}", fields))
    except (PriceError, InconsistentPrices) as error:
        raise PriceFileError(path, f"model {name}: {error}") from None


def _prices(name: str, fields: dict[str, Any]) -> ModelPrices:
    """Short form: the price keys stand beside the model. Long form: below `prices`, as a list with conditions."""
    structure = {key: fields.pop(key) for key in ("prices", "variants", "minimum_seconds") if key in fields}
    if fields and "prices" in structure:
        raise PriceError(f"{next(iter(fields))!r:.80} is beside prices: move it below prices")
    if misplaced := next((key for key in _CONDITIONS if key in fields), None):
        raise PriceError(f"{misplaced} belongs in one of the lists below prices")
    prices = read_model(name, {"prices": fields} | structure)
    if not any(entry.prices for entry in prices.lists):
        raise PriceError("there are no prices: write free if it costs nothing")
    for entry in (*prices.lists, *prices.variants):
        if entry.period.start is not None:
            prices.quote(entry.period.start, entry.terms or {})
    prices.quote(0.0, {})
    for variant in prices.variants:
        prices.quote(0.0, variant.terms or {})
    return prices


def _mapping(path: Path, what: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    found = as_mapping(value)
    if found is None:
        raise PriceFileError(path, f"{what} is {value!r:.80}, which is not a mapping")
    return found


def _known(path: Path, what: str, fields: Mapping[str, Any], known: set[str]) -> None:
    for key in fields:
        if key not in known:
            hint = " (prices belong below models)" if key in PRICE_KEYS else ""
            raise PriceFileError(path, f"{what} has a field {key!r:.80}, which is not one of {sorted(known)}{hint}")
