"""Read a user's price file: models that are added, overridden, renamed or free, and providers that the user defines.

The file is read and checked completely at start-up. A row that cannot be understood is one `PriceFileError` in
`Overrides.problems`. It stays among the rows without a price: the models that it names are unpriced, and never get the
public price instead of the user's. All other rows apply. docs/prices.md describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any, Final

from otel_agentcost.core.prices import PRICE_KEYS, InconsistentPrices, ModelPrices, PriceList
from otel_agentcost.pricebook.matching import WILD, below, dashed_date
from otel_agentcost.pricebook.price_file import PriceFileError, WrittenTwice, read_text
from otel_agentcost.pricebook.price_lists import CONDITIONS, PriceError, as_list, as_mapping, read_model
from otel_agentcost.pricebook.providers import canonical
from otel_agentcost.pricebook.uplifts import Uplift, read_uplift, unclear_uplift

_FREE = ModelPrices("free", [PriceList(prices={})])


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideModel:
    """One model of the file: its prices, or the name of another model (`alias`: `model` or `provider/model`)."""

    name: str
    prices: ModelPrices | None = None
    alias: str | None = None
    problem: str | None = None
    """Why the row cannot be used: then it has neither prices nor an alias, and its models are unpriced."""


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

    def put(self, model: OverrideModel) -> None:
        """Add a row, or replace the row of the same name."""
        if not WILD.search(model.name):
            self.exact[model.name] = model
            return
        for number, (pattern, other) in enumerate(self.wild):
            if other.name == model.name:
                self.wild[number] = (pattern, model)
                return
        self.put_last(model)

    def put_last(self, model: OverrideModel) -> None:
        """Add a row with wildcards behind all others, also behind one of the same name."""
        self.wild.append((re.compile(translate(model.name)), model))

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


@dataclass(slots=True, kw_only=True)
class Overrides:
    """The content of a user's price file."""

    path: Path | None = None
    book: Path | None = None
    """A compiled book that replaces the bundled one."""
    providers: dict[str, OverrideProvider] = field(default_factory=dict[str, OverrideProvider])
    models: OverrideModels = field(default_factory=OverrideModels)
    problems: list[PriceFileError] = field(default_factory=list[PriceFileError])
    """A sentence for each row that cannot be understood."""
    doubt: str | None = None
    """Why any price of the book may be wrong: a part of the file whose models have no readable name."""
    unaddressed: str | None = None
    """Why calls to unknown addresses are unpriced: an address of the file cannot be read, and can be theirs."""

    def reject(self, provider: str, name: str, problem: str) -> OverrideModel:
        """Note a row that cannot be used, and return it as a row without a price.

        Args:
            provider: The provider that it belongs to; "any" for all.
            name: The name of the model, in lower case, with wildcards; "*" for all models of the provider.
            problem: The mistake, as a clause without a full stop.
        """
        owner = f"{provider}/" if provider != "any" else ""
        concerned = f"Calls of {owner}{name}" + (" without another row" if name == "*" else "")
        self._note(problem, f"{concerned} are unpriced (agentcost.unpriced); {_REST}")
        return OverrideModel(name=name, problem=self.reason(problem))

    def reject_part(self, problem: str) -> None:
        """Note a part of the file that cannot be read, so that it is unknown which models it names."""
        self.doubt = self.doubt or self.reason(problem)
        consequence = "agentcost.unpriced marks the costs of all models without a row in the file"
        self._note(problem, f"{consequence}; {_REST}")

    def reject_address(self, provider: str, problem: str) -> None:
        """Note an address that cannot be read."""
        self.unaddressed = self.unaddressed or self.reason(problem)
        concerned = f"Calls to addresses that identify no provider are unpriced, as they can be calls to {provider}"
        self._note(problem, f"{concerned}; {_REST}")

    def reject_uplift(self, provider: str, written: object, problem: str) -> Uplift:
        """Note an uplift that cannot be used, and return one that makes the calls which it concerns unpriced."""
        self._note(problem, f"The calls to {provider} that it concerns are unpriced (agentcost.unpriced); {_REST}")
        return unclear_uplift(written, self.reason(problem))

    def reason(self, problem: str) -> str:
        """Return a mistake as the reason why a call has no price."""
        return f"{problem}; correct it in {self.path.name if self.path is not None else 'the price file'}"

    def _note(self, problem: str, consequence: str) -> None:
        if self.path is not None:
            self.problems.append(PriceFileError(self.path, problem, consequence=consequence))


_REST: Final = "all other rows apply"


def read_overrides(path: Path) -> Overrides:
    """Read the user's price file `path`: JSON if its name ends in .json, else YAML.

    Returns:
        All rows; those that cannot be understood have no price, and are in `problems`.

    Raises:
        PriceFileError: The file cannot be read, or is not a mapping in YAML or JSON.
    """
    written = read_text(path)
    read = Overrides(path=path)
    for problem in _unknown("the file", written, {"book", "providers", "models"}):
        read.reject_part(problem)
    book = written.get("book")
    if book is None or isinstance(book, str):
        read.book = path.parent / book if book else None
    else:
        read.reject_part(f"book is {book!r:.80}, which is not the name of a file")
    for name, entry in _section(read, "providers", written).items():
        _add_provider(read, canonical(name), entry, name)
    read.models = _models(read, "any", _section(read, "models", written))
    return read


class _Mistake(ValueError):
    """A row cannot be understood; the text quotes it."""


def _section(read: Overrides, name: str, written: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return _mapping(name, written.get(name))
    except _Mistake as error:
        read.reject_part(str(error))
        return {}


def _add_provider(read: Overrides, name: str, entry: object, written: str) -> None:
    """Add a provider. One mistake in it leaves its readable rows as they are, and all its other models unpriced."""
    if (other := read.providers.get(name)) is not None:
        models = OverrideModels()
        models.put(read.reject(name, "*", f"provider {name} occurs twice, the second time as {written!r:.80}"))
        urls = (*other.urls, *_urls(read, name, as_mapping(entry) or {}))
        read.providers[name] = OverrideProvider(id=name, urls=urls, like=None, models=models)
        return
    mistakes: list[str] = []
    fields: Mapping[str, Any] = {}
    try:
        fields = _mapping(f"provider {name}", entry)
        mistakes += _unknown(f"provider {name}", fields, {"base_url", "like", "models", "uplifts"})
    except _Mistake as error:
        mistakes.append(str(error))
    like = fields.get("like")
    if like is not None and not isinstance(like, str):
        mistakes.append(f"like of provider {name} is {like!r:.80}, which is not the name of a provider")
        like = None
    rows: Mapping[str, Any] = {}
    try:
        rows = _mapping(f"models of {name}", fields.get("models"))
    except _Mistake as error:
        mistakes.append(str(error))
    models = _models(read, name, rows)
    for mistake in mistakes:
        models.put_last(read.reject(name, "*", mistake))
    uplifts = _uplifts(read, name, fields.get("uplifts"))
    urls = _urls(read, name, fields)
    read.providers[name] = OverrideProvider(id=name, urls=urls, like=like, models=models, uplifts=uplifts)


def _urls(read: Overrides, name: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    written = fields.get("base_url", [])
    urls: Sequence[Any] | None = [written] if isinstance(written, str) else as_list(written)
    readable = [url for url in urls or [] if isinstance(url, str) and url]
    if urls is None or len(readable) < len(urls):
        read.reject_address(name, f"base_url of provider {name} is {written!r:.80}, which is not an address")
    return tuple(url.lower().rstrip("/") for url in readable)


def _uplifts(read: Overrides, name: str, written: object) -> tuple[Uplift, ...]:
    rows = [] if written is None else as_list(written)
    if rows is None:
        problem = f"uplifts of provider {name} is {written!r:.80}, which is not a list of uplifts"
        return (read.reject_uplift(name, written, problem),)
    found: list[Uplift] = []
    for row in rows:
        try:
            found.append(read_uplift(row))
        except PriceError as error:  # noqa: PERF203 (a few rows, once)
            found.append(read.reject_uplift(name, row, f"provider {name}: {error}"))
    return tuple(found)


def _models(read: Overrides, provider: str, written: Mapping[str, Any]) -> OverrideModels:
    models = OverrideModels()
    named: set[str] = set()
    for name, entry in written.items():
        lower = name.lower()
        if lower in named:
            problem = f"{name!r:.80} is written twice: the case of model names does not matter"
            models.put(read.reject(provider, lower, problem))
            continue
        try:
            models.put(_model(provider, lower, entry))
        except (_Mistake, InconsistentPrices) as error:
            models.put(read.reject(provider, lower, str(error)))
        named.add(lower)
    return models


def _model(provider: str, name: str, entry: object) -> OverrideModel:
    if isinstance(entry, str) and entry.lower() == "free":
        return OverrideModel(name=name, prices=ModelPrices(f"{provider}/{name}", _FREE.lists))
    row = f"model {name}" if provider == "any" else f"model {provider}/{name}"
    fields = dict(_mapping(row, entry))
    if not fields:
        raise _Mistake(f"{row} has no prices: write free if it costs nothing")
    if "alias" in fields:
        alias = fields.pop("alias")
        if fields or not isinstance(alias, str) or not alias:
            raise _Mistake(f"{row} has an alias {alias!r:.80}: an alias must be a name, and the only field")
        return OverrideModel(name=name, alias=alias.lower())
    try:
        return OverrideModel(name=name, prices=_prices(f"{provider}/{name}", fields))
    except (PriceError, InconsistentPrices) as error:
        raise _Mistake(f"{row}: {error}") from None


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


def _mapping(what: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    mapping = as_mapping(value)
    if mapping is None:
        no_mapping = "" if isinstance(value, WrittenTwice) else ", which is not a mapping"
        raise _Mistake(f"{what} is {value!r:.80}{no_mapping}")
    return mapping


def _unknown(what: str, fields: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    """Yield a mistake for each field that has no meaning."""
    for key in fields:
        if key not in known:
            hint = " (prices belong below models)" if key in PRICE_KEYS else ""
            yield f"{what} has a field {key!r:.80}, which is not one of {sorted(known)}{hint}"
