"""A provider's bill as values: what it says was used, by day, model and type of token, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final, Literal, NamedTuple, Protocol

from otel_agentcost.core import money
from otel_agentcost.errors import AgentCostError

DAY: Final = 86_400
_CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])

Sort = Literal["tokens", "tool", "other"]
"""`tool`: searches, executions, sessions and the like; `other`: credits, taxes and fees."""


class BillError(AgentCostError):
    """A bill cannot be fetched or read. The text is one sentence that says why, and what to do."""


class BillLine(NamedTuple):
    """Dollars of a bill."""

    day: str
    """The UTC day, such as 2026-11-01."""
    model: str
    """As the provider writes it; empty for what belongs to no model."""
    tier: str | None
    """`batch`, `flex`, ...; empty for the standard tier; None if the bill does not say."""
    kind: str
    """`input`, `cache read`, `cache write`, `output`, ..., or the name of a tool; empty for all tokens together."""
    sort: Sort
    nusd: int
    """Billionths of a dollar. Credits are negative."""
    list_nusd: int | None = None
    """The same at list prices, if the provider says so."""
    tokens: int | None = None


class UsageLine(NamedTuple):
    """Requests and tokens that a provider has counted."""

    day: str
    model: str
    tier: str
    requests: int | None
    tokens: Mapping[str, int]
    """By the same kinds as in `BillLine`; without a kind for all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A provider's bill of a period."""

    provider: str
    names: frozenset[str]
    """The names that its calls have in the store."""
    origin: str
    """Where it comes from, for people."""
    lines: Sequence[BillLine]
    usage: Sequence[UsageLine] = field(default_factory=tuple[UsageLine, ...])
    merged: Mapping[str, str] = field(default_factory=dict[str, str])
    """Kinds that the bill has under another one: `cache read` under `input`."""
    notes: Sequence[str] = field(default_factory=tuple[str, ...])
    """Sentences about what the bill does not say."""


class Ask(NamedTuple):
    """A request for a bill."""

    since: date
    until: date
    """The first day after the period."""
    variables: Mapping[str, str]
    """The environment of the command, which has the key."""
    base_url: str | None = None
    """Another address of the provider's API."""
    file: str | None = None
    """An export of the bill."""


class BillSource(Protocol):
    """A module of this folder."""

    SUMMARY: str
    NAMES: frozenset[str]

    def fetch(self, ask: Ask) -> Bill:
        """Return the bill. Raises `BillError`."""
        ...


def nano(amount: object, *, per_dollar: int = 1) -> int | None:
    """Return an amount of a bill in billionths of a dollar, rounded half to even; None if it is no amount.

    Args:
        amount: A number or a text. Credits are negative.
        per_dollar: 100 for cents.
    """
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str, Decimal)):
        return None
    try:
        value = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
        return int(
            (_CONTEXT.divide(value * money.NANO_PER_USD, Decimal(per_dollar))).to_integral_value(ROUND_HALF_EVEN)
        )
    except (ArithmeticError, ValueError):
        return None


def whole(quantity: object, *, times: int = 1) -> int | None:
    """Return a quantity of a bill as a whole number; None if it is none."""
    if isinstance(quantity, bool) or not isinstance(quantity, (int, float, str, Decimal)):
        return None
    try:
        value = Decimal(repr(quantity)) if isinstance(quantity, float) else Decimal(quantity)
        return int((value * times).to_integral_value(ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError):
        return None


def day_of(at: float) -> str:
    """Return the UTC day of a time in seconds since the epoch."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d")


def days(since: date, until: date) -> list[str]:
    """Return the days of a period. `until` is not one of them."""
    return [(since + timedelta(days=number)).isoformat() for number in range((until - since).days)]


_SAME: Final = {"priority_on_demand": "priority", "flex_discount": "flex"}
"""Tiers that Anthropic's bill has beside those that its answers name."""
_STANDARD: Final = frozenset({"", "auto", "default", "standard", "on_demand", "global", "not_available"})


def tier_of(terms: Mapping[str, str | None]) -> str:
    """Return the tier of a price: the terms that are not those of the standard price.

    Args:
        terms: What served the call, by term: `service_tier`, `processing`, `speed`, `inference_geo`.
    """
    named = ("processing", "service_tier", "speed", "inference_geo")
    found = {_SAME.get(tier, tier) for tier in (str(terms[name]).lower() for name in named if terms.get(name))}
    return "+".join(sorted(found - _STANDARD))
