"""Read a compiled price book. Its header is read when it is opened, a provider's models when they are first used.

The first line is a JSON object: the source of the book, and its providers, each with the rules that identify it and
the number of bytes that its models take. One line for each model follows. `build.py` writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from otel_agentcost.core.prices import ModelPrices
from otel_agentcost.pricebook.corrections import corrected
from otel_agentcost.pricebook.matching import ModelIndex, Rule, dashed_date
from otel_agentcost.pricebook.price_lists import read_model

FORMAT = "otel-agentcost price book 1"
BUNDLED = Path(__file__).with_name("book.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider of the book, with the rules that identify it."""

    id: str
    url: Rule
    """Matches its base URLs."""
    models: Rule | None
    """Matches the names of its models, for calls that name no provider."""
    names: Rule | None
    """Matches other names of the provider."""
    fallbacks: Sequence[str]
    """The providers whose models it also sells, at their prices."""
    start: int
    end: int


class ProviderModels:
    """The models of one provider."""

    __slots__ = ("_index", "_prices", "entries", "provider", "terms")

    def __init__(self, provider: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.provider = provider
        self.entries = entries
        self._index = ModelIndex([cast("Rule", entry["match"]) for entry in entries])
        self._prices: dict[int, ModelPrices] = {}
        self.terms = _terms(entries)
        """The terms for which this provider has separate prices, for any of its models: `service_tier`: `flex`, ..."""

    def find(self, name: str) -> tuple[str, ModelPrices] | None:
        """Return the id and the prices of the first model that `name` (in lower case) matches; None if none does."""
        position = self._index.first(name)
        if position is None:
            return None
        entry = self.entries[position]
        prices = self._prices.get(position)
        if prices is None:
            prices = self._prices[position] = read_model(f"{self.provider}/{entry['id']}", entry)
        return entry["id"], prices


def _terms(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, frozenset[str]]:
    terms: dict[str, set[str]] = {}
    for entry in entries:
        for variant in entry.get("variants", ()):
            for key, value in variant["when"].items():
                terms.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in terms.items()}


class BookFile:
    """A compiled book. Models are parsed at their first use; two threads that use a provider at once parse it twice."""

    def __init__(self, content: bytes) -> None:
        """Read the header.

        Args:
            content: The whole file.

        Raises:
            ValueError: `content` is not a compiled book.
        """
        head, _, self._body = content.partition(b"\n")
        read: object = json.loads(head)
        header = cast("dict[str, Any]", read)
        if not isinstance(read, dict) or header.get("format") != FORMAT:
            raise ValueError(f"its first line does not say {FORMAT!r}")
        self.version: str = header["version"]
        self.date: str = header["date"]
        self.providers: dict[str, Provider] = {}
        start = 0
        for entry in header["providers"]:
            end = start + entry["bytes"]
            self.providers[entry["id"]] = Provider(
                id=entry["id"],
                url=entry["url"],
                models=entry.get("models"),
                names=entry.get("names"),
                fallbacks=entry.get("fallbacks", ()),
                start=start,
                end=end,
            )
            start = end
        self._models: dict[str, ProviderModels] = {}

    def models_of(self, provider: str) -> ProviderModels:
        """Return the models of `provider`, in the order in which their names are tried."""
        models = self._models.get(provider)
        if models is None:
            section = self.providers[provider]
            lines = self._body[section.start : section.end].splitlines()
            entries = corrected(provider, json.loads(b"[" + b",".join(lines) + b"]"))
            models = self._models[provider] = ProviderModels(provider, entries)
        return models

    def find(self, provider: str, name: str) -> tuple[str, str, ModelPrices] | None:
        """Find the price that `provider` bills for a model.

        Args:
            provider: The id of a provider of the book.
            name: A name of the model, in any case.

        Returns:
            The provider that the price is listed under, the model's id, and its prices; None if there is no price.
        """
        lowered = name.lower()
        dashed = dashed_date(lowered)
        for spelling in (lowered, dashed) if dashed != lowered else (lowered,):
            for owner in (provider, *self.providers[provider].fallbacks):
                if owner in self.providers and (match := self.models_of(owner).find(spelling)):
                    return owner, *match
        return None


def read_book(path: Path = BUNDLED) -> BookFile:
    """Read the compiled book in `path`.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not a compiled book; the text is a sentence.
    """
    return BookFile(path.read_bytes())
