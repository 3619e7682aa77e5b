"""Prices of tools: US dollars for each call or for each second, by name.

This module has the price, its written form, and the rule that selects one of several names for a tool. It is exact and
has no clock: the caller measures the time. Used by `settings` and `calls.tool_call`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from otel_agentcost.core import money

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


class ToolPrices(Mapping[str, ToolPrice]):
    """Prices of tools by name, immutable. In a name, `*` matches any text."""

    __slots__ = ("_patterns", "_prices")

    def __init__(self, prices: Mapping[str, ToolPrice] | None = None) -> None:
        self._prices = dict(prices or {})
        # A stable sort: of two patterns of the same length, the one that was written first counts.
        patterns = sorted((name for name in self._prices if "*" in name), key=len, reverse=True)
        self._patterns = [(re.compile(_regex(name), re.DOTALL), self._prices[name]) for name in patterns]

    def find(self, tool: str) -> ToolPrice | None:
        """Return the price of `tool` by its exact name, else by the longest pattern that matches; None without one."""
        price = self._prices.get(tool)
        if price is not None:
            return price
        return next((price for pattern, price in self._patterns if pattern.fullmatch(tool)), None)

    def __getitem__(self, name: str) -> ToolPrice:
        return self._prices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._prices)

    def __len__(self) -> int:
        return len(self._prices)

    def __repr__(self) -> str:
        return f"ToolPrices({self._prices!r})"


def _regex(name: str) -> str:
    return ".*".join(map(re.escape, name.split("*")))
