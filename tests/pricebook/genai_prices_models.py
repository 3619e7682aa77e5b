"""The genai-prices library as the oracle: its models, names for each of them, and its answers to our questions.

Shared by the tests that compare; they skip, saying so, where the library is not installed (it needs Python 3.11).
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from otel_agentcost.core.usage import DIMENSIONS, Count, Kind, Usage

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("genai_prices") is None,
    reason="genai-prices is not installed (it needs Python 3.11): nothing to compare the price book with",
)


@dataclass(frozen=True)
class Verdict:
    """What the library says of a call: dollars, or that it refuses."""

    usd: Decimal | None
    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    provider: str | None = None
    model: str | None = None
    priced: frozenset[str] = frozenset()


REFUSED = Verdict(usd=None)


def providers() -> list[Any]:
    """The library's providers."""
    return list(importlib.import_module("genai_prices.data").providers)


def registry() -> Mapping[str, Any]:
    """The library's units by their usage key."""
    units: Mapping[str, Any] = importlib.import_module("genai_prices.data_units").unit_data
    return units


OWN_KINDS = ("requests", "compute_seconds")
"""Kinds of usage that the library does not have: it counts requests itself, and sells no machines."""


def inclusive(usage: Usage) -> dict[str, Count]:
    """`usage` as the library wants it: each count with all that is a special case of it, zeros included.

    What could not be split is left out, so that the library has to infer it (and refuses where it matters).
    """
    counts: dict[str, Count] = {}
    for kind, dimensions in DIMENSIONS.items():
        if kind not in OWN_KINDS and kind not in usage.unsplit:
            counts[kind] = sum((n for other, n in usage.counts.items() if DIMENSIONS[other] >= dimensions), start=0)
    return counts


def verdict(
    usage: Usage,
    model: str,
    *,
    at: float,
    provider: str | None = None,
    base_url: str | None = None,
    terms: tuple[tuple[str, str], ...] = (),
) -> Verdict:
    """The library's answer."""
    library: Any = importlib.import_module("genai_prices")
    try:
        answer = library.calc_price(
            library.Usage(**inclusive(usage)),
            model,
            provider_id=provider,
            provider_api_url=base_url,
            genai_request_timestamp=datetime.fromtimestamp(at, timezone.utc),
            price_context=dict(terms) or None,
        )
    except (LookupError, ValueError):
        return REFUSED
    priced = frozenset(key for key, value in answer.model_price.__dict__.items() if value is not None)
    return Verdict(
        answer.total_price, answer.input_price, answer.output_price, answer.provider.id, answer.model.id, priced
    )


def names_of(model: Any, rng: random.Random) -> Iterator[str]:
    """Names that the model's rule is about: those it must match, and some that nearly do."""
    yield from rule_names(model.match, rng)
    yield model.id


def rule_names(rule: Any, rng: random.Random) -> list[str]:
    """Names that satisfy `rule`, or come close."""
    noise = "".join(rng.choices(string.ascii_lowercase + string.digits + "-.:/@", k=rng.randint(1, 9)))
    fields = rule.__dict__
    simple = {
        "equals": [rng.choice([str.upper, str.lower])(fields.get("equals", ""))],
        "starts_with": [f"{fields.get('starts_with')}{noise}"],
        "ends_with": [f"{noise}{fields.get('ends_with')}"],
        "contains": [f"{noise}{fields.get('contains')}{noise}"],
    }
    (verb,) = fields
    if verb in simple:
        return simple[verb]
    if "regex" in fields:
        text = re.sub(r"\(\?[!:=][^()]*(\([^()]*\)[^()]*)*\)", "", rule.regex.strip("^$"))
        text = re.sub(r"\\d(\{(\d)\})?", lambda found: "1" * int(found[2] or 1), text)
        return [re.sub(r"[\\()?]", "", text), text + noise]
    if "or_" in fields:
        return [name for part in rule.or_ for name in rule_names(part, rng)]
    parts = [rule_names(part, rng)[0] for part in rule.and_]
    return [*parts, "-".join(parts), "".join(parts)]


_COUNTS: list[Any] = [1, 7, 999, 12_345, 100_000, 200_000, 272_001, 1_000_001, 10**12]


def usages(rng: random.Random, amount: int) -> Iterator[Usage]:
    """Disjoint usages: mostly tokens as chats have them, sometimes of every kind there is."""
    common: list[Kind] = [
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "output_reasoning_tokens",
        "web_searches",
    ]
    every: list[Kind] = [kind for kind in DIMENSIONS if kind not in OWN_KINDS]
    for _ in range(amount):
        kinds = rng.sample(common, rng.randint(1, len(common)))
        if rng.random() < 0.5:
            kinds += rng.sample(every, rng.randint(1, 8))
        counts: dict[Kind, Count] = {kind: rng.choice(_COUNTS) for kind in kinds}
        seconds: list[Count] = [Decimal("3.7"), Decimal("61.25"), 7, 3600]
        counts |= {kind: rng.choice(seconds) for kind in counts if "seconds" in kind}
        yield Usage(counts=counts)
