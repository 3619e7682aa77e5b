"""Prices of tools: US dollars for each call or for each second, by name.

This module has the price and its written form; `by_tool` selects one of several names for a tool. It is exact and has
no clock: the caller measures the time. Used by `settings` and `calls.tool_call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from otel_agentcost.core import money
from otel_agentcost.core.by_tool import ByTool

_UNITS: Final[Mapping[str, Literal["call", "second"]]] = {
    "call": "call",
    "s": "second",
    "sec": "second",
    "second": "second",
}


@dataclass(frozen=True, slots=True)
class ToolPrice:
    """US dollars for each call of a tool, or for each second of a call."""

    usd: Decimal
    per: Literal["call", "second"] = "call"

    def of(self, nanoseconds: int) -> Decimal:
        """Return US dollars for one call that took `nanoseconds`."""
        return self.usd if self.per == "call" else money.multiply(self.usd, money.from_nano(max(0, nanoseconds)))

    def __str__(self) -> str:
        return f"{self.usd}/s" if self.per == "second" else str(self.usd)


def to_price(written: object) -> ToolPrice | None:
    """Parse a price.

    Args:
        written: `0.005`, `"0.005"`, `"0.005/call"` or `"0.01/s"`.

    Returns:
        The price; None if `written` is not a price.
    """
    if isinstance(written, ToolPrice):
        return written
    unit = "call"
    if isinstance(written, str) and "/" in written:
        written, _, unit = written.rpartition("/")
    usd = money.reported(written)
    per = _UNITS.get(unit.strip().lower())
    return ToolPrice(usd, per) if usd is not None and per is not None else None


class ToolPrices(ByTool[ToolPrice]):
    """Prices of tools by name, immutable. In a name, `*` matches any text."""

    __slots__ = ()
