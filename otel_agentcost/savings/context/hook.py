"""The hook for long histories, and the facts that it gets: messages, tokens, prices, and when clearing pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

GROWTH: Final = 0.25
"""The growth after which a hook is asked again."""
LEAST: Final = 20_000
"""The tokens below which it is not asked."""
SECONDS: Final = 30.0
"""How long a hook may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongContext:
    """The facts that a hook gets about a request whose history has grown long."""

    messages: list[Any]
    """A copy of the messages of the request, in the form of its API, instructions at the beginning included. The hook
    may change it."""
    tokens: int
    """The input tokens of the request. An estimate: at the rate of the last answer, if there was one."""
    growth: int
    """The tokens by which it has grown since the call before; 0 for the first."""
    calls: int
    """The calls of this conversation before this one, as far as this process has seen them."""
    model: str | None
    provider: str
    agent: str | None
    input_usd: Decimal | None
    """The price of one fresh input token; None if it is not known."""
    read_usd: Decimal | None
    """The price of one token from the prompt cache; that of a fresh one, unless the last answer had used the cache."""
    write_usd: Decimal | None
    """The price of writing one token to the prompt cache; that of a fresh one, unless the last answer had used it."""

    @property
    def remaining_calls(self) -> int:
        """The calls that are still to be expected: as many as there were."""
        return max(1, self.calls)

    @property
    def projected_usd(self) -> Decimal | None:
        """The cost of the input of the remaining calls, if the history grows on as it does; None without a price."""
        if self.read_usd is None or self.write_usd is None:
            return None
        calls = self.remaining_calls
        old = self.tokens * calls + self.growth * calls * (calls - 1) // 2
        return self.read_usd * old + self.write_usd * self.growth * calls

    def break_even_calls(self, cleared: int) -> float | None:
        """Return after how many further calls clearing so many tokens has paid.

        Clearing saves the price of reading them with each later call. It costs once that what is left is written to the
        prompt cache again instead of being read from it.

        Args:
            cleared: The tokens to clear.

        Returns:
            The number of calls; 0 where no cache is used. None without a price.
        """
        if self.read_usd is None or self.write_usd is None:
            return None
        left, saved = self.tokens - cleared, self.read_usd * cleared
        once = max(Decimal(0), self.write_usd - self.read_usd) * max(0, left)
        return float(once / saved) if saved else None


class Hook(NamedTuple):
    """A hook, and when it is asked."""

    function: Callable[[LongContext], Any]
    """Returns shorter messages, or None; or a coroutine that does."""
    least: int = LEAST
    growth: float = GROWTH
    seconds: float = SECONDS
