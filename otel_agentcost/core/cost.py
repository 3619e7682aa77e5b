"""The cost of a call: dollars with their parts and their source, or the reason why they are not known."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from otel_agentcost.core import money


class Cost(NamedTuple):
    """The dollars of one call.

    `usd` is None where the call could not be priced, and then `unpriced` says why. `unpriced` beside dollars names
    something that the dollars do not cover (a web search of a model whose price list has no price for searches).

    The parts sum to `usd` where the price was computed here (`source` is "local"); a cost that the provider itself
    reported (`source` is "provider") comes without parts. All amounts are exact US dollars.

    A named tuple because every priced call makes one: the constructor of a frozen dataclass takes twice as long.
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
    """The difference between the price of fresh tokens and of those read from a cache. It is no part of `usd`."""
    source: Literal["local", "provider"] = "local"
    unpriced: str | None = None
    price: str | None = None
    """The price that was used, as `provider/model` of the price book."""
    assumed: bool = False
    """True if the address of the call does not identify its provider, so that the price is that of an assumed one."""

    @classmethod
    def unknown(cls, reason: str) -> Cost:
        """Return a cost without dollars.

        Args:
            reason: Why the price is not known: a sentence for people, without a full stop.
        """
        return cls(unpriced=reason)

    def known(self) -> Cost:
        """Return this cost, without dollars if they are zero and do not cover everything: unknown is not zero."""
        return self if self.unpriced is None or self.usd is None or self.usd else self._replace(usd=None)

    def __add__(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] (a sum, not a longer tuple)
        self, other: Cost
    ) -> Cost:
        """Add both costs. Unknown plus known is unknown: a total must not hide a call it does not contain."""
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
            assumed=self.assumed or other.assumed,
        )


def priced(
    usd: Decimal, parts: Sequence[Decimal], price: str, unpriced: str | None = None, cache_savings: Decimal = money.ZERO
) -> Cost:
    """Make a cost that was computed here.

    Args:
        usd: US dollars of the whole call.
        parts: US dollars of input, output, cache read, cache write and tools, in this order. They sum to `usd`.
        price: The price that was used, as `provider/model` of the price book.
        unpriced: What the dollars do not cover, as a sentence without a full stop.
        cache_savings: US dollars that the cache has saved.
    """
    fresh_input, output, cache_read, cache_write, tools = parts
    return Cost(usd, fresh_input, output, cache_read, cache_write, tools, cache_savings, "local", unpriced, price)


FREE = Cost(usd=money.ZERO)
