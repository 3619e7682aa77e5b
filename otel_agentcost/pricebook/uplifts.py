"""Uplifts: factors on the price of tokens, by the place that served a call or by its terms.

Price lists of the genai-prices data set have one price for all regions. The rows of `corrections.json`, and those of a
user's price file, say where a call costs more, or that its price there is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, cast

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost, priced
from otel_agentcost.core.prices import Card
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook.data_files import read_table
from otel_agentcost.pricebook.matching import below
from otel_agentcost.pricebook.price_lists import PriceError, as_list, as_mapping, start_of

_FIELDS = frozenset({"address", "when", "models", "except", "start_date", "factor"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplift:
    """One row: the conditions, which must all hold, and the factor."""

    addresses: tuple[str, ...] = ()
    """Base URLs, in lower case, as a provider of a user's price file has them."""
    when: Mapping[str, str] = field(default_factory=dict[str, str])
    """What served the call, by term."""
    models: tuple[str, ...] = ("*",)
    """Ids of models, in lower case. They can have wildcards."""
    unless: tuple[str, ...] = ()
    """Ids of models that have no uplift."""
    start: float | None = None
    """The first second of the epoch."""
    factor: Decimal | None = None
    """None if the price differs and is not known."""
    problem: str | None = None
    """Why a row of the user's price file cannot be used: the factor is then not known."""

    def concerns(self, model: str) -> bool:
        """Return whether the model with this id has the uplift."""
        return _any(model, self.models) and not _any(model, self.unless)

    def applies(self, model: str, base_url: str | None, terms: Mapping[str, str], at: float) -> bool:
        """Return whether it applies to a call.

        Args:
            model: The id of the model in the price list.
            base_url: The address of the call.
            terms: What served the call, by term.
            at: The time of the call, in seconds of the epoch.
        """
        if self.start is not None and at < self.start:
            return False
        if self.when and any(terms.get(key) != value for key, value in self.when.items()):
            return False
        if self.addresses and not (base_url and self._covers(base_url)):
            return False
        return self.concerns(model)

    def _covers(self, url: str) -> bool:
        scheme, slashes, rest = url.lower().partition("://")
        host, slash, path = rest.partition("/")
        address = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"  # without a user's name and password
        return any(below(address, one) for one in self.addresses)

    @property
    def condition(self) -> str:
        """The place or the terms, for people."""
        terms = ", ".join(f"{key}={value}" for key, value in self.when.items())
        return " ".join(filter(None, (" or ".join(self.addresses), terms)))


def _any(model: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(model.lower(), pattern) for pattern in patterns)


@cache
def known_uplifts() -> Mapping[str, tuple[Uplift, ...]]:
    """Return the rows of `corrections.json` by provider, read once."""
    found: dict[str, tuple[Uplift, ...]] = {}
    for row in read_table("corrections.json")["uplifts"]:
        fields = {key: value for key, value in row.items() if key not in {"provider", "source", "as_of"}}
        found[row["provider"]] = (*found.get(row["provider"], ()), read_uplift(fields))
    return found


def read_uplift(written: object) -> Uplift:
    """Read one row.

    Args:
        written: A mapping with `address` or `when`, and optionally `models`, `except`, `start_date` and `factor`.

    Raises:
        PriceError: It cannot be understood; the text quotes the mistake.
    """
    fields = as_mapping(written)
    if fields is None:
        raise PriceError(f"an uplift is {written!r:.80}, which is not a mapping with an address and a factor")
    if unknown := next((key for key in fields if key not in _FIELDS), None):
        raise PriceError(f"an uplift has a field {unknown!r:.80}, which is not one of {sorted(_FIELDS)}")
    when = as_mapping(fields.get("when", {}))
    if when is None or not all(isinstance(value, str) for value in when.values()):
        raise PriceError(f"when of an uplift is {fields['when']!r:.80}, which names no terms (like inference_geo: us)")
    addresses = tuple(address.rstrip("/") for address in _texts(fields, "address"))
    if not addresses and not when:
        raise PriceError("an uplift has neither an address nor terms (when): the prices themselves can be changed")
    factor = None if fields.get("factor") is None else money.from_number(fields["factor"])
    if factor is None and fields.get("factor") is not None:
        raise PriceError(f"factor of an uplift is {fields['factor']!r:.80}, which is not a number like 1.1")
    start = fields.get("start_date")
    return Uplift(
        addresses=addresses,
        when=cast("Mapping[str, str]", when),
        models=_texts(fields, "models") or ("*",),
        unless=_texts(fields, "except"),
        start=None if start is None else start_of(start),
        factor=factor,
    )


def unclear_uplift(written: object, problem: str) -> Uplift:
    """Return a row without a factor for one that cannot be understood: with the conditions that can be read.

    Args:
        written: The row.
        problem: The reason why the calls that it concerns are unpriced.
    """
    fields = as_mapping(written) or {}

    def texts(key: str) -> tuple[str, ...]:
        try:
            return _texts(fields, key)
        except PriceError:
            return ()

    terms = as_mapping(fields.get("when")) or {}
    return Uplift(
        addresses=tuple(address.rstrip("/") for address in texts("address")),
        when={key: value for key, value in terms.items() if isinstance(value, str)},
        models=texts("models") or ("*",),
        unless=texts("except"),
        problem=problem,
    )


def _texts(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    written = fields.get(key, [])
    texts = [written] if isinstance(written, str) else as_list(written)
    if texts is None or not all(isinstance(text, str) and text for text in texts):
        raise PriceError(f"{key} of an uplift is {written!r:.80}, which is not a text or a list of texts")
    return tuple(text.lower() for text in texts)


class UpliftedCard:
    """A card whose token prices are multiplied by one factor. Searches and other tools keep their price."""

    __slots__ = ("_card", "_factor")

    def __init__(self, card: Card, factor: Decimal) -> None:
        self._card = card
        self._factor = factor

    def cost(self, usage: Usage, /) -> Cost:
        """Return the dollars of `usage`, or the reason why the card has no price for it."""
        plain = self._card.cost(usage)
        if plain.usd is None:
            return plain
        tokens = (plain.input_usd, plain.output_usd, plain.cache_read_usd, plain.cache_write_usd)
        parts = [*(money.multiply(part, self._factor) for part in tokens), plain.tool_usd]
        usd = money.ZERO
        for part in parts:
            usd = money.wide_add(usd, part)
        savings = money.multiply(plain.cache_savings_usd, self._factor)
        return priced(usd, parts, plain.price or "", plain.unpriced, savings)
