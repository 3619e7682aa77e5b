"""What a call cost: dollars with their parts and their source, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

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
            source=self.source if self.source == other.source else "local",
            unpriced=self.unpriced or other.unpriced,
            price=self.price or other.price,
        )


FREE = Cost(usd=money.ZERO)
