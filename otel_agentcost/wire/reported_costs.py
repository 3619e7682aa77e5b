"""Reads what a response says of money, by the table in `core.reported_costs`. Never raises."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from otel_agentcost.core import money
from otel_agentcost.core.reported_costs import ROWS, Reported, Row, amount
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire.fields import fields, get, lacks

__all__ = ["in_body", "in_headers"]

_OF_USAGE: Final = tuple(
    (row, tuple(row.name.split(".")[1:])) for row in ROWS if not row.header and row.name.startswith("usage.")
)
_OF_RESPONSE: Final = tuple(
    (row, tuple(row.name.split("."))) for row in ROWS if not row.header and not row.name.startswith("usage.")
)
_IN_USAGE: Final = frozenset(path[0] for _, path in _OF_USAGE)
_IN_RESPONSE: Final = frozenset(path[0] for _, path in _OF_RESPONSE)
_HEADERS: Final = {row.name: row for row in ROWS if row.header}
_ZERO: Final = Decimal(0)


def in_body(response: Any, usage: Any) -> tuple[Reported, ...]:
    """Return what the body of a response, or the last event of a stream, says of money.

    Args:
        response: The response, or an event.
        usage: Its usage; None without one.
    """
    found: tuple[Reported, ...] = ()
    usage = fields(usage)
    if usage is not None and not lacks(usage, _IN_USAGE):
        for row, path in _OF_USAGE:
            if (value := get(usage, path[0])) is not None:
                found = _with(found, row, usage, value, path)
    if lacks(response, _IN_RESPONSE):  # nearly every response
        return found
    for row, path in _OF_RESPONSE:
        if (value := get(response, path[0])) is not None:
            found = _with(found, row, response, value, path)
    return found


def _with(found: tuple[Reported, ...], row: Row, place: Any, value: Any, path: tuple[str, ...]) -> tuple[Reported, ...]:
    """Return `found` with the amount that `value`, the first field of `path` in `place`, leads to."""
    inside = place
    for name in path[1:]:
        inside, value = value, get(value, name)
    usd = amount(row, value)
    if usd is None or get(inside, "currency") not in (None, "USD"):
        return found
    if get(inside, "is_byok") is True:
        # With the caller's own key, OpenRouter's cost is its fee; the provider bills the rest.
        upstream = money.reported(get(get(inside, "cost_details"), "upstream_inference_cost"))
        if upstream is None:
            return found
        usd = money.add(usd, upstream)
    return (*found, Reported(row, usd))


def in_headers(headers: Any) -> tuple[Reported, ...]:
    """Return what the headers of a response say of money.

    Args:
        headers: A mapping of names, in any case, to values; anything else says nothing.
    """
    found: tuple[Reported, ...] = ()
    for name, value in _pairs(headers):
        row = _HEADERS.get(name.lower()) if type(name) is str else None
        if row is None or not isinstance(value, str):
            continue
        if row.hits:
            if "*" in row.hits or value.strip().lower() in row.hits:
                found = (*found, Reported(row, _ZERO))
        elif (usd := amount(row, value)) is not None:
            found = (*found, Reported(row, usd))
    return found


def _pairs(headers: Any) -> Iterable[tuple[Any, Any]]:
    try:
        return tuple(headers.items())
    except Exception as error:  # no mapping
        reraise_foreign(error)
        return ()
