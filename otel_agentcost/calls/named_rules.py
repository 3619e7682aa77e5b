"""Tell of named rules (`agent=researcher`, `user=bob`) and of prices of tools that no call has matched: a misspelt name
limits nothing, and prices nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.tool_prices import ToolPrice, ToolPrices
from otel_agentcost.diagnostics import warn_once

CALLS = 100
"""The number of calls after which the log reports a rule without a match, once."""
_NAMES = 5
"""The number of other names of a scope that the log lists."""


class NamedRules:
    """Watches the first calls for the names of the rules. Thread-safe."""

    def __init__(self, rules: Sequence[Budget | Breaker]) -> None:
        """Watch for the rules that have a name."""
        self.open: tuple[Budget | Breaker, ...] = tuple(rule for rule in rules if rule.name is not None)
        """The rules without a call so far. Empty once the log has reported them."""
        self._calls = 0
        self._seen: dict[Scope, dict[str, None]] = {}
        self._lock = threading.Lock()

    def called(self, scopes: Mapping[Scope, str], model: str | None, around: Sequence[Budget] = ()) -> None:
        """Take note of a call, admitted or not. `around`: further budgets that it counts in, of enclosing agents."""
        with self._lock:
            known: Mapping[Scope, str] = scopes if model is None else {**scopes, "model": model}
            self.open = tuple(rule for rule in self.open if rule.value(known) is None and rule not in around)
            self._calls += 1
            for rule in self.open:
                seen = self._seen.setdefault(rule.scope, {})
                if rule.scope in known and len(seen) < _NAMES:
                    seen[known[rule.scope]] = None
            if self._calls < CALLS or not self.open:
                return
            unmatched, self.open = self.open, ()
        for rule in unmatched:
            names = ", ".join(f"{name:.40}" for name in self._seen.get(rule.scope, ()))
            others = f"They were made for {rule.scope} {names}" if names else f"None had a {rule.scope}"
            warn_once(
                f"unmatched: {rule.text}",
                f"otel-agentcost: the rule {rule.text:.200} has matched none of the first {CALLS} calls: none had the "
                f"{rule.scope} {rule.name!r:.80}. {others}. Correct the name, unless such calls are still to come.",
            )


class PricedTools:
    """The prices of tools by name, which watch the first calls for those names. Thread-safe."""

    def __init__(self, prices: ToolPrices) -> None:
        self._prices = prices
        self._open: tuple[ToolPrices, ...] = tuple(ToolPrices({name: price}) for name, price in prices.items())
        """The prices without a call so far, one each. Empty once the log has reported them."""
        self._calls = 0
        self._seen: dict[str, None] = {}
        self._lock = threading.Lock()

    def find(self, tool: str) -> ToolPrice | None:
        """Return the price of `tool`, of which a call is made; None without one."""
        if self._open:
            self._called(tool)
        return self._prices.find(tool)

    def _called(self, tool: str) -> None:
        with self._lock:
            self._open = tuple(each for each in self._open if each.find(tool) is None)
            self._calls += 1
            if self._prices.find(tool) is None and len(self._seen) < _NAMES:
                self._seen[tool] = None
            if self._calls < CALLS or not self._open:
                return
            unmatched, self._open = self._open, ()
        names = ", ".join(name for each in unmatched for name in each)
        others = ", ".join(f"{tool:.40}" for tool in self._seen)
        warn_once(
            f"unmatched prices of tools: {names}",
            f"otel-agentcost: TOOL_PRICES has {names:.200}, but none of the first {CALLS} tool calls had such a name. "
            f"{f'Without a price were {others}. ' if others else ''}Correct the name, unless such calls are still to "
            "come.",
        )
