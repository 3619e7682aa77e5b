"""Tell of rules that nothing has matched: a misspelt name limits nothing and prices nothing.

These are named rules (`agent=researcher`, `user=bob`), limits of tool calls where no tool call is seen, models that
`DOWNGRADE` replaces, and prices of tools.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Budget, Scope
from otel_agentcost.core.tool_prices import ToolPrice, ToolPrices
from otel_agentcost.diagnostics import warn_once

CALLS = 100
"""The number of calls after which the log reports a rule without a match, once."""
_NAMES = 5
"""The number of other names that the log lists."""
_UNLESS = "unless such calls are still to come"


class NamedRules:
    """Watches the first calls for the names of the rules. Thread-safe."""

    def __init__(self, rules: Sequence[Budget | Breaker], downgrade: Mapping[str, str] | None = None) -> None:
        """Watch for what the rules need to have an effect.

        Args:
            rules: The budgets and circuit breakers.
            downgrade: The cheaper model for each model, if a budget uses them.
        """
        self._rules: tuple[Budget | Breaker, ...] = tuple(rule for rule in rules if rule.name is not None)
        self._of_tools: tuple[Budget | Breaker, ...] = tuple(rule for rule in rules if _counts_tools(rule))
        cheaper = downgrade or {}
        self._replaced = tuple(model for model in cheaper if model not in cheaper.values())
        self._calls = self._tool_calls = 0
        self._seen: dict[Scope, dict[str, None]] = {}
        self._models: dict[str, None] = {}
        self._lock = threading.Lock()
        self.open = bool(self._rules or self._of_tools or self._replaced)
        """False once each rule has had a call, or the log has reported it."""

    def called(self, scopes: Mapping[Scope, str], model: str | None, around: Sequence[Budget] = ()) -> None:
        """Take note of a call, admitted or not. `around`: further budgets that it counts in, of enclosing agents."""
        with self._lock:
            self._note(scopes if model is None else {**scopes, "model": model}, around)
            self._replaced = tuple(each for each in self._replaced if each != model)
            if model is not None and len(self._models) < _NAMES:
                self._models[model] = None
            self._calls += 1
            self._close()
            if self._calls < CALLS or not self.open:
                return
            rules, of_tools, replaced = self._rules, self._of_tools, self._replaced
            self._rules, self._of_tools, self._replaced = (), (), ()
            self._close()
        self._tell(rules, "calls")
        _tell_of_tools(rule for rule in of_tools if rule not in rules)
        if replaced:
            self._tell_of_models(replaced)

    def tool_used(self, scopes: Mapping[Scope, str], around: Sequence[Budget] = ()) -> None:
        """Take note of a tool call. `around`: as for `called`."""
        with self._lock:
            self._of_tools = ()
            self._note(scopes, around)
            self._tool_calls += 1
            unmatched: tuple[Budget | Breaker, ...] = ()
            if self._tool_calls >= CALLS:
                unmatched = tuple(rule for rule in self._rules if _counts_tools(rule))
                self._rules = tuple(rule for rule in self._rules if rule not in unmatched)
            self._close()
        self._tell(unmatched, "tool calls")

    def _note(self, known: Mapping[Scope, str], around: Sequence[Budget]) -> None:
        self._rules = tuple(rule for rule in self._rules if rule.value(known) is None and rule not in around)
        for rule in self._rules:
            seen = self._seen.setdefault(rule.scope, {})
            if rule.scope in known and len(seen) < _NAMES:
                seen[known[rule.scope]] = None

    def _close(self) -> None:
        self.open = bool(self._rules or self._of_tools or self._replaced)

    def _tell(self, rules: Iterable[Budget | Breaker], calls: str) -> None:
        for rule in rules:
            names = _listed(self._seen.get(rule.scope, ()))
            others = f"They were made for {rule.scope} {names}" if names else f"None had a {rule.scope}"
            warn_once(
                f"unmatched: {rule.text}",
                f"otel-agentcost: the rule {rule.text:.200} has matched none of the first {CALLS} {calls}: none had "
                f"the {rule.scope} {rule.name!r:.80}. {others}. Correct the name, {_UNLESS}.",
            )

    def _tell_of_models(self, replaced: tuple[str, ...]) -> None:
        names = ", ".join(replaced)
        warn_once(
            f"unmatched models: {names}",
            f"otel-agentcost: OTEL_AGENTCOST_DOWNGRADE replaces {names:.200}, but none of the first {CALLS} calls had "
            f"such a model. They were made for {_listed(self._models) or 'no model by name'}. Write the name as the "
            f"calls do, {_UNLESS}.",
        )


def _tell_of_tools(rules: Iterable[Budget | Breaker]) -> None:
    texts = "; ".join(rule.text for rule in rules)
    if texts:
        warn_once(
            f"no tool call: {texts}",
            f"otel-agentcost: the limit of tool calls in {texts:.200} has counted nothing: the first {CALLS} model "
            "calls were made without a tool call. Tools of frameworks are seen if docs/tools.md lists the framework; "
            "mark your own functions with @otel_agentcost.tool.",
        )


def _counts_tools(rule: Budget | Breaker) -> bool:
    return isinstance(rule, Budget) and "tool_calls" in rule.limits


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{name:.40}" for name in names)


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
