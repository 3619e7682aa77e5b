"""Span events, log records and metrics of budgets.

`calls/admission.py` calls this module with the decisions of the guard. This module decides nothing. A budget that
reaches its soft limit or its limit is reported once for each window, because the ledger lets exactly one call cross. In
a rolling window spend falls and rises again, so each process reports it at most once in a window's length.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timezone, tzinfo
from decimal import Decimal
from typing import Literal

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import Span

from otel_agentcost.core import budgets, money, semconv
from otel_agentcost.core.budgets import WRITTEN, Budget, Scope, Unit
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.diagnostics import logger
from otel_agentcost.errors import BudgetExceeded, whose_budget, written
from otel_agentcost.telemetry import run_context, signals
from otel_agentcost.telemetry.metrics import Bounded, create_counter, create_observable
from otel_agentcost.telemetry.receiver import Notify, Receiver

_ONE = Decimal(1)
_MAX_GAUGES = 1000
_SHORT_LIVED: frozenset[Scope] = frozenset({"trace", "run", "conversation", "process"})
"""Scopes whose values are too many for a metric attribute, because each piece of work has a value of its own."""


class BudgetReports:
    """Reports decisions about budgets through the instruments of one meter, span events and log records."""

    def __init__(self, meter: Meter) -> None:
        self.zone: tzinfo = timezone.utc
        """Time zone in which the windows of budgets begin."""
        self.receiver: Receiver | None = None
        """Gets each refusal too; None if nothing keeps them."""
        self.notify: Notify | None = None
        """Tells people of refusals and limits; None if no webhook is set."""
        self._levels: dict[tuple[str, str, Unit], tuple[Budget, int, int, float]] = {}
        self._told: dict[tuple[str, str, str, str], float] = {}
        """When the limit of a rolling window was reported."""
        self._bounded_value = Bounded()
        create_observable(meter, signals.UTILIZATION, self._observe)
        self._refusals = create_counter(meter, signals.REFUSALS)
        self._warnings = create_counter(meter, signals.WARNINGS)
        self._unenforced = create_counter(meter, signals.UNENFORCED)

    def refused(self, span: Span, error: BudgetExceeded, action: str) -> None:
        """Report a call that a budget refused or cut off.

        Args:
            span: The span of the call.
            error: The exception that the application gets.
            action: The action of the budget, for example `block` or `cut_off`.
        """
        span.add_event(semconv.E_BUDGET_EXCEEDED, _refusal(error, action))
        base = {semconv.BUDGET: error.budget, semconv.BUDGET_SCOPE: error.scope}
        self._refusals.add(_ONE, {**base, semconv.BUDGET_UNIT: error.unit, semconv.BUDGET_ACTION: action})
        about = f"{error.budget}{whose_budget(error.scope, error.value)}: {action}"
        run_context.happened("refusal", about)
        if self.receiver is not None:
            self.receiver.event("refusal", about, span, agent=None, usd=None)
        if self.notify is not None:
            self.notify.tell("refusal", error.budget, str(error), span)

    def unenforced(self, span: Span, reason: str) -> None:
        """Report a call that was made without a complete budget check. The caller has logged the reason."""
        span.add_event(semconv.E_UNENFORCED, {semconv.BUDGET_REASON: reason[:300]})
        self._unenforced.add(_ONE, {})

    def level(
        self,
        span: Span,
        budget: Budget,
        value: str,
        unit: Unit,
        spent: int,
        limit: int,
        crossed: Literal["soft", "limit"] | None,
    ) -> None:
        """Record the level of a budget after a call, and report a limit that this call crossed.

        Args:
            span: The span of the call.
            budget: The budget.
            value: The user, agent or other value of its scope; empty for a scope without values.
            unit: The unit of `spent` and `limit`.
            spent: Settled amount in the current window.
            limit: The limit.
            crossed: The limit that this call crossed: the soft limit, the limit, or None.
        """
        # Every call comes here, so only the collection of metrics works out the share.
        key = (budget.text, "" if budget.scope in _SHORT_LIVED else value, unit)
        if key in self._levels or len(self._levels) < _MAX_GAUGES:
            self._levels[key] = budget, spent, limit, time.time()
        if crossed is None or not self._is_news(budget, value, unit, crossed):
            return
        base = {semconv.BUDGET: budget.text, semconv.BUDGET_SCOPE: budget.scope}
        self._warnings.add(_ONE, {**base, semconv.BUDGET_LEVEL: crossed})
        event = semconv.E_SOFT_LIMIT if crossed == "soft" else semconv.E_BUDGET_EXCEEDED
        attributes: dict[str, AttributeValue] = {
            **base,
            semconv.BUDGET_VALUE: value,
            semconv.BUDGET_UNIT: WRITTEN[unit],
            semconv.BUDGET_LIMIT: _number(limit, unit),
            semconv.BUDGET_SPENT: _number(spent, unit),
        }
        if span.is_recording():  # a shared ledger may answer after the span of an asynchronous call has ended
            span.add_event(event, attributes)
        sentence = _sentence(budget, value, unit, spent, limit, crossed)
        logger.warning("otel-agentcost: %s", sentence)
        if self.notify is not None:
            self.notify.tell("soft_limit" if crossed == "soft" else "limit", budget.text, sentence, span)

    def _is_news(self, budget: Budget, value: str, unit: Unit, crossed: str) -> bool:
        """Return False if this limit of a rolling window was reported less than a window ago."""
        window = budgets.rolling_seconds(budget.window)
        if window is None:
            return True
        key, now = (budget.text, value, unit, crossed), time.time()
        if now - window < self._told.get(key, float("-inf")) <= now:
            return False
        if len(self._told) >= _MAX_GAUGES:
            self._told = {}
        self._told[key] = now
        return True

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        now = time.time()
        observations: list[Observation] = []
        for key, (budget, spent, limit, at) in list(self._levels.items()):
            within = budgets.period(budget.window, at, self.zone)
            ends = at + within.rolling if within.rolling is not None else within.ends
            if ends is not None and ends <= now:  # a new window has begun; no call has used it yet
                self._levels.pop(key, None)
                continue
            text, value, unit = key
            attributes = {semconv.BUDGET: text, semconv.BUDGET_SCOPE: budget.scope, semconv.BUDGET_UNIT: WRITTEN[unit]}
            if value:
                attributes[semconv.BUDGET_VALUE] = self._bounded_value(value)
            observations.append(Observation(spent / limit, attributes))
        return observations


def _refusal(error: BudgetExceeded, action: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        semconv.BUDGET: error.budget,
        semconv.BUDGET_SCOPE: error.scope,
        semconv.BUDGET_VALUE: error.value,
        semconv.BUDGET_UNIT: error.unit,
        semconv.BUDGET_ACTION: action,
    }
    amounts = (
        (semconv.BUDGET_LIMIT, error.limit),
        (semconv.BUDGET_SPENT, error.spent),
        (semconv.BUDGET_HELD, error.held),
        (semconv.BUDGET_REQUESTED, error.requested),
    )
    for name, amount in amounts:
        if amount is not None:
            attributes[name] = money.to_float(amount) if isinstance(amount, Decimal) else float(amount)
    return attributes


def _number(amount: int, unit: Unit) -> float:
    return money.to_float(money.from_nano(amount)) if unit == "nano_usd" else float(amount)


def _format(amount: int, unit: Unit) -> str:
    return written(money.from_nano(amount) if unit == "nano_usd" else amount, WRITTEN[unit])


def _sentence(budget: Budget, value: str, unit: Unit, spent: int, limit: int, crossed: str) -> str:
    figures = f"{_format(spent, unit) if unit == 'nano_usd' else f'{spent:,}'} of {_format(limit, unit)}"
    whose = whose_budget(budget.scope, value)
    if crossed == "soft":
        return f"the budget {budget.text}{whose} is {spent / limit:.0%} used: {figures}."
    return f"the budget {budget.text}{whose} is used up: {figures}."
