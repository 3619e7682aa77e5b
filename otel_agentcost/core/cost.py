"""What a call cost: dollars with their parts and their source, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from otel_agentcost.core import money


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The dollars of one call.

    `usd` is None where the call could not be priced, and then `unpriced` says why. `unpriced` beside dollars names
    something that the dollars do not cover (a web search of a model whose price list has no price for searches).

    The parts sum to `usd` where the price was computed here (`source` is "local"); a cost that the provider itself
    reported (`source` is "provider") comes without parts. All amounts are exact US dollars.
    """

    usd: Decimal | None = None
    input_usd: Decimal = money.ZERO
    """Input tokens that were neither read from nor written to a cache, and whatever else is billed as input."""
    output_usd: Decimal = money.ZERO
    cache_read_usd: Decimal = money.ZERO
    cache_write_usd: Decimal = money.ZERO
    tool_usd: Decimal = money.ZERO
    """Tools that ran at the provider (web searches and the like), and per-request fees."""
    cache_savings_usd: Decimal = money.ZERO
    """What tokens that were read from a cache cost less than fresh ones would have: no part of `usd`."""
    source: Literal["local", "provider"] = "local"
    unpriced: str | None = None
    price: str | None = None
    """Which price was used, as `provider/model` of the price book."""

    @classmethod
    def unknown(cls, reason: str) -> Cost:
        """No dollars, because of `reason`: a sentence for people, without a full stop."""
        return cls(unpriced=reason)

    def __add__(self, other: Cost) -> Cost:
        """Both costs together. Unknown plus known is unknown: a total must not hide a call it does not contain."""
        usd = None if self.usd is None or other.usd is None else money.add(self.usd, other.usd)
        return Cost(
            usd=usd,
            input_usd=money.add(self.input_usd, other.input_usd),
            output_usd=money.add(self.output_usd, other.output_usd),
            cache_read_usd=money.add(self.cache_read_usd, other.cache_read_usd),
            cache_write_usd=money.add(self.cache_write_usd, other.cache_write_usd),
            tool_usd=money.add(self.tool_usd, other.tool_usd),
            cache_savings_usd=money.add(self.cache_savings_usd, other.cache_savings_usd),
            source=self.source if self.source == other.source else "local",
            unpriced=self.unpriced or other.unpriced,
            price=self.price or other.price,
        )


_SLOTS: Mapping[str, Any] = Cost.__dict__
_set_usd = _SLOTS["usd"].__set__
_set_input = _SLOTS["input_usd"].__set__
_set_output = _SLOTS["output_usd"].__set__
_set_cache_read = _SLOTS["cache_read_usd"].__set__
_set_cache_write = _SLOTS["cache_write_usd"].__set__
_set_tool = _SLOTS["tool_usd"].__set__
_set_cache_savings = _SLOTS["cache_savings_usd"].__set__
_set_source = _SLOTS["source"].__set__
_set_unpriced = _SLOTS["unpriced"].__set__
_set_price = _SLOTS["price"].__set__


def priced(
    usd: Decimal, parts: Sequence[Decimal], price: str, unpriced: str | None = None, cache_savings: Decimal = money.ZERO
) -> Cost:
    """A cost that was computed here. `parts`: input, output, cache read, cache write, tools, in this order.

    Every priced call makes one, so the slots are filled directly: a frozen dataclass's own constructor costs three
    times as much, more than all the arithmetic of a typical price.
    """
    cost = object.__new__(Cost)
    _set_usd(cost, usd)
    _set_input(cost, parts[0])
    _set_output(cost, parts[1])
    _set_cache_read(cost, parts[2])
    _set_cache_write(cost, parts[3])
    _set_tool(cost, parts[4])
    _set_cache_savings(cost, cache_savings)
    _set_source(cost, "local")
    _set_unpriced(cost, unpriced)
    _set_price(cost, price)
    return cost


FREE = Cost(usd=money.ZERO)
