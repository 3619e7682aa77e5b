"""Decides whether to believe what a response says of money.

The rules, in their order (docs/prices.md has them for people):

1. Only a row of the table for this address counts.
2. An answer from a gateway's cache costs nothing, whatever cost stands beside it: that of the call that was cached.
3. A cost of 0 is believed only if the price book has the same, or the name of the model says that it is free.
4. A cost above 10 dollars that is a thousand times the price book's is a mistake in its unit.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from otel_agentcost.core import money
from otel_agentcost.core.call import Answer, Endpoint
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.reported_costs import ROWS, Reported, Row
from otel_agentcost.diagnostics import warn_once

__all__ = ["believed", "has_headers"]

_CHECKED_ABOVE: Final = Decimal(10)
_MOST_TIMES: Final = 1000
"""Tools can cost a thousand times the tokens of a call, but not if they cost more than 10 dollars."""


def believed(answer: Answer, endpoint: Endpoint, model: str | None, by_book: Callable[[], Cost]) -> Cost | None:
    """Return the cost that the provider or a gateway reports; None if there is none to believe.

    Args:
        answer: The response.
        endpoint: The address of the call.
        model: The name of the requested model.
        by_book: Computes the cost by the price book. It is called only if a rule needs it.
    """
    rows = _rows(endpoint.base_url, known=endpoint.known)
    found = [each for each in answer.reported if each.row in rows]
    if not found:
        return None
    if any(each.cached for each in found):
        return Cost(usd=money.ZERO, source="provider")
    costs = [each for each in found if not each.cached]
    told = next((each for each in costs if each.usd), costs[0])
    if not told.usd:
        return _zero(told, answer, model, by_book)
    return None if _absurd(told, by_book) else Cost(usd=told.usd, source="provider")


def has_headers(endpoint: Endpoint) -> bool:
    """Return True if a response header of this address can be believed."""
    return _has_headers(endpoint.base_url, known=endpoint.known)


@lru_cache(maxsize=1000)
def _has_headers(base_url: str, *, known: bool) -> bool:
    return any(row.header for row in _rows(base_url, known=known))


@lru_cache(maxsize=1000)
def _rows(base_url: str, *, known: bool) -> frozenset[Row]:
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        host = ""
    return frozenset(
        row
        for row in ROWS
        if (row.elsewhere and not known) or any(host == name or host.endswith("." + name) for name in row.hosts)
    )


def _zero(told: Reported, answer: Answer, model: str | None, by_book: Callable[[], Cost]) -> Cost | None:
    """Return a cost of 0 if it is believed, or the reason why the cost is unknown; None if the price book has it."""
    name = answer.model or model or ""
    if told.row.free_models and name.endswith(told.row.free_models):
        return Cost(usd=told.usd, source="provider")
    cost = by_book()
    if cost.usd is None and answer.usage is not None:
        reason = f"{cost.unpriced}; a reported cost of 0 ({told.row.name}) is not believed"
        return cost._replace(unpriced=reason)
    return None


def _absurd(told: Reported, by_book: Callable[[], Cost]) -> bool:
    """Return True if a reported cost cannot be right."""
    if told.usd <= _CHECKED_ABOVE:
        return False
    cost = by_book()
    if not cost.usd or cost.unpriced is not None or told.usd <= cost.usd * _MOST_TIMES:
        return False
    warn_once(
        f"absurd cost: {told.row.name}",
        f"otel-agentcost: a response reports a cost of ${told.usd:f} ({told.row.name}) for "
        f"${cost.usd.normalize():f} at list prices; it is ignored, and the list price counts",
    )
    return True
