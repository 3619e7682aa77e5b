"""A bill and what was recorded, compared: the one function that the command calls, and its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Final

from otel_agentcost.core.usage import DIMENSIONS, Kind
from otel_agentcost.insight.reconcile import findings
from otel_agentcost.insight.reconcile.apportion import billed_cells
from otel_agentcost.insight.reconcile.counted import Counted, count
from otel_agentcost.insight.reconcile.findings import Finding, Suspect
from otel_agentcost.insight.reconcile.kinds import bill_kind
from otel_agentcost.insight.reconcile.split import Cause, Difference, ListPrice, Window, split
from otel_agentcost.insight.repricing import card_of, rate_of
from otel_agentcost.pricebook import NoPrice, PriceBook
from otel_agentcost.store.bills.bill import Bill, days
from otel_agentcost.store.single_calls import Recorded

SETTLING: Final = timedelta(hours=48)
"""How long a bill of a day may still change after its end."""

_PLAIN: Final[tuple[Kind, ...]] = tuple(
    kind for kind, dimensions in DIMENSIONS.items() if ("family", "tokens") in dimensions and "reasoning" not in kind
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The answer."""

    bill: Bill
    differences: Sequence[Difference]
    findings: Sequence[Finding]
    suspects: Sequence[Suspect]
    window: Window
    counted: Counted

    @property
    def billed(self) -> int:
        """The bill, in billionths of a dollar."""
        return sum(cell.billed for cell in self.differences)

    @property
    def recorded(self) -> int:
        """The recorded calls, in billionths of a dollar."""
        return sum(cell.counted for cell in self.differences)

    @property
    def causes(self) -> dict[Cause, int]:
        """The difference by cause: the sum is the difference, exactly."""
        return findings.causes(self.differences)

    def of_day(self, day: str) -> tuple[int, int]:
        """Return the billed and the recorded billionths of a dollar of a day."""
        mine = [cell for cell in self.differences if cell.day == day]
        return sum(cell.billed for cell in mine), sum(cell.counted for cell in mine)

    def spelled(self, model: str) -> str:
        """Return the name of a model as calls or the bill have it."""
        return self.counted.spellings.get(model, model)


def window_of(since: date, until: date, now: datetime) -> Window:
    """Return the days of a comparison: those of the period, and one before and after it if it has ended.

    Args:
        since: The first day.
        until: The first day after the period.
        now: The present time.
    """

    def ends(day: str) -> datetime:
        return datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), timezone.utc)

    shown = days(since, until)
    every = days(since - timedelta(days=1), until + timedelta(days=1))
    return Window(
        days=[day for day in every if day in shown or ends(day) <= now],
        shown=frozenset(shown),
        opened=frozenset(day for day in shown if ends(day) > now),
        provisional=frozenset(day for day in shown if ends(day) + SETTLING > now),
    )


def compare(bill: Bill, calls: Iterable[Recorded], book: PriceBook, window: Window) -> Comparison:
    """Compare a bill with recorded calls.

    Args:
        bill: The bill of the days of the window.
        calls: The recorded calls of these days.
        book: The price book.
        window: The days.
    """
    provider = min(bill.names)
    canonical = canonical_names(book, provider)
    counted = count(calls, bill, book, canonical)
    named = {**counted.spellings}
    if provider in _FILES:
        named = {**_of_book(book, provider), **named}
    for line in bill.lines:
        if line.model:
            counted.spellings.setdefault(canonical(line.model), line.model)

    for model in [*counted.spellings]:
        named.setdefault(model, counted.spellings[model])

    def price(model: str, tier: str, kind: str, day: str) -> Decimal | None:
        return listed(named.get(model, model), tier, kind, day)

    listed = list_price(book, provider)
    differences = split(billed_cells(bill, canonical, price), counted, window, price)
    return Comparison(
        bill=bill,
        differences=differences,
        findings=findings.findings(differences, lambda model: counted.spellings.get(model, model)),
        suspects=findings.suspects(counted, window.shown),
        window=window,
        counted=counted,
    )


_FILES: Final = frozenset({"aws.bedrock", "gcp.gemini", "gcp.vertex_ai"})
"""Providers whose bills have names of models for people."""
_NOISE: Final = re.compile(r"\b(?:us|eu|apac|au|jp|global|ga|v\d+|\d{8}|latest|preview|mantle|foundation|model)\b")
_PIECES: Final = re.compile(r"[a-z]+|\d+")
_MAKERS: Final = frozenset({"anthropic", "amazon", "meta", "mistral", "cohere", "google", "openai", "deepseek", "xai"})


def canonical_names(book: PriceBook, provider: str) -> Callable[[str], str]:
    """Return the function from a model's name to the one under which a bill and the store have the same model.

    That is its id in the price book. Export files have names for people instead (`Claude4.6Sonnet`): their words and
    numbers are compared, in any order.
    """

    @lru_cache(maxsize=4096)
    def canonical(name: str) -> str:
        if provider in _FILES:
            return pieces(name)
        match = book.find((name,), None, provider)
        return name.lower() if isinstance(match, NoPrice) else match.model.lower()

    return canonical


def pieces(name: str) -> str:
    """Return the words and numbers of a model's name, without regions, dates and versions of an interface."""
    last = re.sub(r":\d+$", "", name.lower()).rpartition("/")[2]  # of an ARN, or of a resource path
    bare = _NOISE.sub(" ", re.sub(r"[_:.\-]", " ", last))
    found = [piece for piece in _PIECES.findall(bare) if piece not in _MAKERS and piece not in ("v", "models")]
    return " ".join(sorted(found, key=lambda piece: (piece.isdigit(), piece)) if found else [name.lower()])


def _of_book(book: PriceBook, provider: str) -> dict[str, str]:
    """Return the models of the price book by the name under which they are compared."""
    listed = book.finder.provider_id(provider)
    if listed is None or listed not in book.book.providers:
        return {}
    ids = [str(entry["id"]) for entry in book.book.models_of(listed).entries]
    return {pieces(each): each for each in reversed(ids)}


def list_price(book: PriceBook, provider: str) -> ListPrice:
    """Return the function that says what a token costs by the price book, in billionths of a dollar."""

    @lru_cache(maxsize=65_536)
    def price(model: str, tier: str, kind: str, day: str) -> Decimal | None:
        at = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
        card = card_of(book, provider, (model,), terms_of_tier(tier), at)
        plain: Kind | None = next((each for each in _PLAIN if bill_kind(each) == kind), None)
        rate = rate_of(card, plain) if card is not None and plain is not None else None
        return rate * 10**9 if rate is not None else None

    return price


def terms_of_tier(tier: str) -> dict[str, str]:
    """Return the terms that a tier's name stands for."""
    found: dict[str, str] = {}
    for name in filter(None, tier.split("+")):
        key = {"batch": "processing", "fast": "speed", "us": "inference_geo"}.get(name, "service_tier")
        found[key] = name
    return found
