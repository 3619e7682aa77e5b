"""The compiled price book as a file: its header is read when it is opened, a provider's models at their first use.

The first line is a JSON object: what the book was compiled from, and its providers with the rules by which they are
recognized and how many bytes of the file are theirs. Then comes one line for each model. `compile.py` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from otel_agentcost.core.prices import ModelPrices
from otel_agentcost.pricebook.matching import ModelIndex, Rule, dashed_date
from otel_agentcost.pricebook.price_lists import read_model

FORMAT = "otel-agentcost price book 1"
BUNDLED = Path(__file__).with_name("book.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider of the book, and how it is recognized."""

    id: str
    url: Rule
    """Which base URLs are its own."""
    models: Rule | None
    """Which model names are its own, where a call says nothing else."""
    names: Rule | None
    """By which other names it goes."""
    fallbacks: Sequence[str]
    """The providers whose models it offers too, at their prices."""
    start: int
    end: int


class Shelf:
    """The models of one provider."""

    __slots__ = ("_index", "_prices", "entries", "provider", "terms")

    def __init__(self, provider: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.provider = provider
        self.entries = entries
        self._index = ModelIndex([cast("Rule", entry["match"]) for entry in entries])
        self._prices: dict[int, ModelPrices] = {}
        self.terms = _terms(entries)
        """What this provider prices apart, for any of its models: `service_tier` with `flex` and `priority`, ..."""

    def find(self, name: str) -> tuple[str, ModelPrices] | None:
        """The id and the prices of the first model that goes by `name` (in lower case)."""
        position = self._index.first(name)
        if position is None:
            return None
        entry = self.entries[position]
        prices = self._prices.get(position)
        if prices is None:
            prices = self._prices[position] = read_model(f"{self.provider}/{entry['id']}", entry)
        return entry["id"], prices


def _terms(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for entry in entries:
        for variant in entry.get("variants", ()):
            for key, value in variant["when"].items():
                found.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in found.items()}


class BookFile:
    """A compiled book. Shelves are filled when they are first asked for; two threads that do so fill the same one."""

    def __init__(self, content: bytes) -> None:
        """Raises `ValueError` where `content` is not a compiled book."""
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
        self._shelves: dict[str, Shelf] = {}

    def shelf(self, provider: str) -> Shelf:
        """The models of `provider`, in the order in which their names are tried."""
        shelf = self._shelves.get(provider)
        if shelf is None:
            place = self.providers[provider]
            lines = self._body[place.start : place.end].splitlines()
            shelf = self._shelves[provider] = Shelf(provider, json.loads(b"[" + b",".join(lines) + b"]"))
        return shelf

    def find(self, provider: str, name: str) -> tuple[str, str, ModelPrices] | None:
        """What `provider` bills for the model that goes by `name`: whose price it is, the model's id, the prices."""
        lowered = name.lower()
        dashed = dashed_date(lowered)
        for spelling in (lowered, dashed) if dashed != lowered else (lowered,):
            for owner in (provider, *self.providers[provider].fallbacks):
                if owner in self.providers and (found := self.shelf(owner).find(spelling)):
                    return owner, *found
        return None


def read_book(path: Path = BUNDLED) -> BookFile:
    """The book in `path`. Raises `OSError` or `ValueError` (with a sentence) where there is none."""
    return BookFile(path.read_bytes())
