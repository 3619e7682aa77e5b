"""What is told of budgets: events on the calls' spans, log records, and metrics.

A crossing (the soft limit, the limit itself) is told once a budget and window: the ledger sees to it that exactly one
call crosses. Called by `admission.py` with what the guard has decided; nothing is decided here.
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
from otel_agentcost.telemetry.metrics import Bounded, counted

_ONE = Decimal(1)
_MOST_GAUGES = 1000
_PASSING: frozenset[Scope] = frozenset({"trace", "run", "conversation", "process"})
"""Scopes with a value for each piece of work: on metrics, their values would be without number."""


class BudgetReports:
    """The instruments of one meter, and the words."""

    def __init__(self, meter: Meter) -> None:
        self.zone: tzinfo = timezone.utc
        """Where days begin."""
        self._used: dict[tuple[str, str, Unit], tuple[Budget, int, int, float]] = {}
        self._bounded_value = Bounded()
        meter.create_observable_gauge(
            semconv.M_UTILIZATION,
            callbacks=[self._observe],
            unit=semconv.UNIT_RATIO,
            description="Used share of a budget; 1 is all of it.",
        )
        self._refusals = counted(meter, semconv.M_REFUSALS, semconv.UNIT_CALL, "Model calls refused by a budget.")
        self._warnings = counted(
            meter, semconv.M_WARNINGS, semconv.UNIT_WARNING, "Budgets that reached their soft limit or their limit."
        )
        self._unenforced = counted(
            meter,
            semconv.M_UNENFORCED,
            semconv.UNIT_CALL,
            "Model calls that budgets did not check, or checked only partly.",
        )

    def refused(self, span: Span, error: BudgetExceeded, action: str) -> None:
        """A call was not made."""
        span.add_event(semconv.E_BUDGET_EXCEEDED, _figures(error, action))
        base = {semconv.BUDGET: error.budget, semconv.BUDGET_SCOPE: error.scope}
        self._refusals.add(_ONE, {**base, semconv.BUDGET_UNIT: error.unit, semconv.BUDGET_ACTION: action})

    def unenforced(self, span: Span, reason: str) -> None:
        """A call was made although its budgets could not look at it; the log has said so already."""
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
        """How a budget stands after a call; what that call has crossed is told."""
        # On every call: what the metric says of it is worked out when metrics are collected.
        key = (budget.text, "" if budget.scope in _PASSING else value, unit)
        if key in self._used or len(self._used) < _MOST_GAUGES:
            self._used[key] = budget, spent, limit, time.time()
        if crossed is None:
            return
        base = {semconv.BUDGET: budget.text, semconv.BUDGET_SCOPE: budget.scope}
        self._warnings.add(_ONE, {**base, semconv.BUDGET_LEVEL: crossed})
        event = semconv.E_SOFT_LIMIT if crossed == "soft" else semconv.E_BUDGET_EXCEEDED
        said: dict[str, AttributeValue] = {**base, semconv.BUDGET_VALUE: value, semconv.BUDGET_UNIT: WRITTEN[unit]}
        said |= {semconv.BUDGET_LIMIT: _number(limit, unit), semconv.BUDGET_SPENT: _number(spent, unit)}
        if span.is_recording():  # a shared ledger may answer when the span of an asynchronous call has ended
            span.add_event(event, said)
        logger.warning("otel-agentcost: %s", _sentence(budget, value, unit, spent, limit, crossed))

    def adjusted(self, span: Span, usd: Decimal, reason: str) -> None:
        """The application has corrected what was spent."""
        span.add_event(semconv.E_ADJUSTED, {semconv.ADJUSTED: float(usd), semconv.BUDGET_REASON: reason})
        logger.info("otel-agentcost: the spend was adjusted by $%s: %s.", f"{usd:f}", reason)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        now = time.time()
        found: list[Observation] = []
        for key, (budget, spent, limit, at) in list(self._used.items()):
            ends = budgets.period(budget.window, at, self.zone).ends
            if ends is not None and ends <= now:  # a new window has begun, and nothing is used of it
                self._used.pop(key, None)
                continue
            text, value, unit = key
            said = {semconv.BUDGET: text, semconv.BUDGET_SCOPE: budget.scope, semconv.BUDGET_UNIT: WRITTEN[unit]}
            if value:
                said[semconv.BUDGET_VALUE] = self._bounded_value(value)
            found.append(Observation(spent / limit, said))
        return found


def _figures(error: BudgetExceeded, action: str) -> dict[str, AttributeValue]:
    said: dict[str, AttributeValue] = {
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
    said |= {name: float(amount) for name, amount in amounts if amount is not None}
    return said


def _number(amount: int, unit: Unit) -> float:
    return money.to_float(money.from_nano(amount)) if unit == "nano_usd" else float(amount)


def _written(amount: int, unit: Unit) -> str:
    return written(money.from_nano(amount) if unit == "nano_usd" else amount, WRITTEN[unit])


def _sentence(budget: Budget, value: str, unit: Unit, spent: int, limit: int, crossed: str) -> str:
    figures = f"{_written(spent, unit) if unit == 'nano_usd' else f'{spent:,}'} of {_written(limit, unit)}"
    whose = whose_budget(budget.scope, value)
    if crossed == "soft":
        return f"the budget {budget.text}{whose} is {spent / limit:.0%} used: {figures}."
    return f"the budget {budget.text}{whose} is used up: {figures}."
