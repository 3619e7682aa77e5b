"""Read a user's price file: models that are added, overridden, renamed or free, and providers that the user defines.

The file is read and checked completely at start-up. One mistake rejects the whole file, with a `PriceFileError` that
quotes the mistake and says what to do, because half a price list is a wrong price. docs/prices.md describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any

from otel_agentcost.core.prices import PRICE_KEYS, InconsistentPrices, ModelPrices, PriceList
from otel_agentcost.pricebook.matching import WILD, below, dashed_date
from otel_agentcost.pricebook.price_file import PriceFileError, read_text
from otel_agentcost.pricebook.price_lists import CONDITIONS, PriceError, as_list, as_mapping, read_model
from otel_agentcost.pricebook.providers import canonical
from otel_agentcost.pricebook.uplifts import Uplift, read_uplift

_FREE = ModelPrices("free", [PriceList(prices={})])


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideModel:
    """One model of the file: its prices, or the name of another model (`alias`: `model` or `provider/model`)."""

    name: str
    prices: ModelPrices | None = None
    alias: str | None = None


@dataclass(slots=True)
class OverrideModels:
    """The models of one provider, or those for all providers. Exact names take precedence over wildcards."""

    exact: dict[str, OverrideModel] = field(default_factory=dict[str, OverrideModel])
    wild: list[tuple[re.Pattern[str], OverrideModel]] = field(
        default_factory=list[tuple[re.Pattern[str], OverrideModel]]
    )

    def find(self, name: str) -> OverrideModel | None:
        """Return the model that `name` (in lower case) names; None if the file has none."""
        for spelling in (name, dashed_date(name)):
            if (model := self.exact.get(spelling)) is not None:
                return model
        return next((model for pattern, model in self.wild if pattern.match(name)), None)

    def __iter__(self) -> Iterator[OverrideModel]:
        yield from self.exact.values()
        yield from (model for _, model in self.wild)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideProvider:
    """A provider of the file: one of the book, or one that the user defines by its base URLs."""

    id: str
    urls: tuple[str, ...]
    like: str | None
    """A provider of the book, whose prices apply to the models that the file does not list."""
    models: OverrideModels
    uplifts: tuple[Uplift, ...] = ()
    """Factors on the prices of the provider, in the order in which they are tried."""

    def serves(self, url: str) -> bool:
        """Return whether `url` is one of its base URLs, or below one."""
        return any(below(url.lower(), pattern) for pattern in self.urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The content of a user's price file."""

    path: Path | None = None
    book: Path | None = None
    """A compiled book that replaces the bundled one."""
    providers: Mapping[str, OverrideProvider] = field(default_factory=dict[str, OverrideProvider])
    models: OverrideModels = field(default_factory=OverrideModels)


def read_overrides(path: Path) -> Overrides:
    """Read the user's price file `path`: JSON if its name ends in .json, else YAML.

    Raises:
        PriceFileError: The file cannot be read, or one of its entries is wrong.
    """
    written = read_text(path)
    _known(path, "the file", written, {"book", "providers", "models"})
    book = written.get("book")
    if book is not None and not isinstance(book, str):
        raise PriceFileError(path, f"book is {book!r:.80}, which is not the name of a file")
    providers: dict[str, OverrideProvider] = {}
    for name, entry in _mapping(path, "providers", written.get("providers")).items():
        provider = _provider(path, canonical(name), entry)
        if provider.id in providers:
            raise PriceFileError(path, f"provider {provider.id} occurs twice, the second time as {name!r:.80}")
        providers[provider.id] = provider
    models = _models(path, "any", _mapping(path, "models", written.get("models")))
    return Overrides(path=path, book=path.parent / book if book else None, providers=providers, models=models)


def _provider(path: Path, name: str, entry: object) -> OverrideProvider:
    fields = _mapping(path, f"provider {name}", entry)
    _known(path, f"provider {name}", fields, {"base_url", "like", "models", "uplifts"})
    written = fields.get("base_url", [])
    urls = [written] if isinstance(written, str) else as_list(written)
    if urls is None or not all(isinstance(url, str) and url for url in urls):
        raise PriceFileError(path, f"base_url of provider {name} is {written!r:.80}, which is not an address")
    like = fields.get("like")
    if like is not None and not isinstance(like, str):
        raise PriceFileError(path, f"like of provider {name} is {like!r:.80}, which is not the name of a provider")
    return OverrideProvider(
        id=name,
        urls=tuple(url.lower().rstrip("/") for url in urls),
        like=like,
        models=_models(path, name, _mapping(path, f"models of {name}", fields.get("models"))),
        uplifts=_uplifts(path, name, fields.get("uplifts")),
    )


def _uplifts(path: Path, name: str, written: object) -> tuple[Uplift, ...]:
    rows = [] if written is None else as_list(written)
    if rows is None:
        raise PriceFileError(path, f"uplifts of provider {name} is {written!r:.80}, which is not a list of uplifts")
    try:
        return tuple(read_uplift(row) for row in rows)
    except PriceError as error:
        raise PriceFileError(path, f"provider {name}: {error}") from None


def _models(path: Path, provider: str, written: Mapping[str, Any]) -> OverrideModels:
    models = OverrideModels()
    for name, entry in written.items():
        model = _model(path, provider, name.lower(), entry)
        if model.name in models.exact or any(model.name == other.name for _, other in models.wild):
            raise PriceFileError(path, f"{name!r:.80} is written twice: the case of model names does not matter")
        if WILD.search(name):
            models.wild.append((re.compile(translate(model.name)), model))
        else:
            models.exact[model.name] = model
    return models


def _model(path: Path, provider: str, name: str, entry: object) -> OverrideModel:
    if isinstance(entry, str) and entry.lower() == "free":
        return OverrideModel(name=name, prices=ModelPrices(f"{provider}/{name}", _FREE.lists))
    fields = dict(_mapping(path, f"model {name}", entry))
    if not fields:
        raise PriceFileError(path, f"model {name} has no prices: write free if it costs nothing")
    if "alias" in fields:
        alias = fields.pop("alias")
        if fields or not isinstance(alias, str) or not alias:
            raise PriceFileError(
                path, f"model {name} has an alias {alias!r:.80}: an alias must be a name, and the only field"
            )
        return OverrideModel(name=name, alias=alias.lower())
    try:
        return OverrideModel(name=name, prices=_prices(f"{provider}/{name}", fields))
    except (PriceError, InconsistentPrices) as error:
        raise PriceFileError(path, f"model {name}: {error}") from None


def _prices(name: str, fields: dict[str, Any]) -> ModelPrices:
    """Read the short form (price keys directly below the model) or the long form (lists below `prices`)."""
    structure = {key: fields.pop(key) for key in ("prices", "variants", "minimum_seconds") if key in fields}
    if fields and "prices" in structure:
        raise PriceError(f"{next(iter(fields))!r:.80} stands beside prices: move it below prices")
    if misplaced := next((key for key in CONDITIONS if key in fields), None):
        raise PriceError(f"{misplaced} is misplaced: move it into one of the lists below prices")
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
    mapping = as_mapping(value)
    if mapping is None:
        raise PriceFileError(path, f"{what} is {value!r:.80}, which is not a mapping")
    return mapping


def _known(path: Path, what: str, fields: Mapping[str, Any], known: set[str]) -> None:
    for key in fields:
        if key not in known:
            hint = " (prices belong below models)" if key in PRICE_KEYS else ""
            raise PriceFileError(path, f"{what} has a field {key!r:.80}, which is not one of {sorted(known)}{hint}")
