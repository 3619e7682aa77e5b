"""What tools cost: dollars a call or dollars a second, by name.

Here are the price, the way it is written, and which of several names counts for a tool. Exact, and no clock: seconds
are handed in. Read by `understanding.py` and `settings.py`, used by `toolcalls.py`.
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
    """US dollars for each call of a tool, or for each second that a call takes."""

    usd: Decimal
    per: Literal["call", "second"] = "call"

    def of(self, nanoseconds: int) -> Decimal:
        """The dollars of one call that took so long."""
        return self.usd if self.per == "call" else money.multiply(self.usd, money.from_nano(max(0, nanoseconds)))

    def __str__(self) -> str:
        return f"{self.usd}/s" if self.per == "second" else str(self.usd)


def to_price(written: object) -> ToolPrice | None:
    """A price as people write it: `0.005`, `"0.005"`, `"0.005/call"`, `"0.01/s"`; None where it is none."""
    if isinstance(written, ToolPrice):
        return written
    unit = "call"
    if isinstance(written, str) and "/" in written:
        written, _, unit = written.rpartition("/")
    usd = money.from_number(written)
    per = _UNITS.get(unit.strip().lower())
    return ToolPrice(usd, per) if usd is not None and per is not None else None


class ToolPrices(Mapping[str, ToolPrice]):
    """The prices of tools, by name; in a name, `*` stands for anything. Never changes."""

    __slots__ = ("_patterns", "_prices")

    def __init__(self, prices: Mapping[str, ToolPrice] | None = None) -> None:
        self._prices = dict(prices or {})
        # A stable sort: of two patterns of one length the one that was written first counts.
        patterns = sorted((name for name in self._prices if "*" in name), key=len, reverse=True)
        self._patterns = [(re.compile(_regex(name), re.DOTALL), self._prices[name]) for name in patterns]

    def find(self, tool: str) -> ToolPrice | None:
        """The price of `tool`: under its own name, else under the longest pattern that it fits; None without one."""
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
