"""The outcomes of the guard: the levels of budgets, the limits that a call has crossed, and the errors of refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Literal

from otel_agentcost.core import money
from otel_agentcost.core.budgets import Unit, rolling_seconds
from otel_agentcost.errors import BudgetExceeded, Reason
from otel_agentcost.guard.ledger import Amounts, Claim, Refusal, Standing
from otel_agentcost.guard.types import CallFacts, Counted, Level, Ticket


def levels(
    counted: Sequence[Counted], standings: Sequence[tuple[Claim, Standing]], amounts: Amounts, soft: float
) -> tuple[Level, ...]:
    """Return the level of each budget after a call that cost `amounts`; nothing if the ledger did not answer.

    A crossing is seen from the sums before and after. The ledger adds in one step, so exactly one call sees each.

    Args:
        counted: The budgets that the call counts in.
        standings: Their standings after the call, in the same order.
        amounts: The cost of the call.
        soft: The share of a budget at which a warning is emitted.

    """
    found: list[Level] = []
    for (budget, value, _), (_, standing) in zip(counted, standings, strict=False):
        for unit, limit in budget.limits.items():
            if unit == "seconds":
                continue
            spent = standing.spent.get(unit, 0)
            crossed = None if spent < limit * soft else _crossed(spent - amounts.get(unit, 0), spent, limit, soft)
            found.append(Level(budget, value, unit, spent, limit, crossed))
    return tuple(found)


def _crossed(before: int, spent: int, limit: int, soft: float) -> Literal["soft", "limit"] | None:
    if before < limit <= spent:
        return "limit"
    return "soft" if before < limit * soft <= spent < limit else None


def refusing(counted: Sequence[Counted], refusal: Refusal) -> Counted:
    """Return the budget that a refusal of the ledger is about."""
    alike = [each for each in counted if each.claim.limits.get(refusal.unit) == refusal.limit]
    exact = (each for each in alike if each.claim.key == refusal.key)
    return next(exact, None) or next(iter(alike), counted[0])  # another window may have begun since


def cut_off_error(ticket: Ticket, facts: CallFacts, output_tokens: int) -> BudgetExceeded:
    """Return the exception for a stream that exceeds the reservation of its call.

    Raises:
        ValueError: The reservation covers the longest possible answer.

    """
    if ticket.wanted is None or ticket.wanted.worst_case is None or not ticket.shortfalls:
        raise ValueError("the reservation covers the longest possible answer of this call")
    amounts = ticket.wanted.worst_case(output_tokens)
    over = (
        each for each in reversed(ticket.shortfalls) if amounts.get(each.unit, 0) > ticket.reserved.get(each.unit, 0)
    )
    tightest = next(over, ticket.shortfalls[-1])
    figures = replace(tightest, requested=amounts.get(tightest.unit, 0))
    return exceeded(facts, refusing(ticket.counted, figures), figures.unit, figures, cut_off=True)


def exceeded(
    facts: CallFacts,
    each: Counted,
    unit: Unit,
    figures: Refusal | None,
    *,
    cut_off: bool = False,
    unpriced: str | None = None,
    ledger: str | None = None,
) -> BudgetExceeded:
    """Return the exception for a refusal.

    Args:
        facts: The call.
        each: The budget that refuses it.
        unit: The unit without room.
        figures: The standing of the budget; None if it is unknown.
        cut_off: True if the call was sent, and its stream is closed now.
        unpriced: The reason why there is no price, if that is the cause.
        ledger: The reason why the ledger did not answer, if that is the cause.

    """
    shown = _dollars if unit == "nano_usd" else int
    return BudgetExceeded(
        budget=each.budget.text,
        scope=each.budget.scope,
        value=each.value,
        unit="usd" if unit == "nano_usd" else unit,
        reason=_reason(unit, figures, cut_off=cut_off, unpriced=unpriced is not None),
        limit=shown(figures.limit if figures else each.budget.limits[unit]),
        spent=shown(figures.spent) if figures else None,
        held=shown(figures.held) if figures else None,
        requested=shown(figures.requested) if figures else None,
        detail=unpriced if unpriced is not None else ledger,
        trace_id=facts.trace_id,
        rolling=rolling_seconds(each.budget.window) is not None,
        free_at=_moment(figures.free_at) if figures is not None and figures.free_at is not None else None,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _reason(unit: Unit, figures: Refusal | None, *, cut_off: bool, unpriced: bool) -> Reason:
    if cut_off:
        return "cut_off"
    if unpriced:
        return "unpriced"
    if figures is None:
        return "ledger"
    if unit == "seconds":
        return "seconds"
    return "spent" if figures.spent + figures.requested > figures.limit else "held"


def _dollars(nano: int) -> Decimal:
    """Convert to exact dollars with no more digits than people write: `Decimal("0.50")`."""
    dollars, rest = divmod(nano, money.NANO_PER_USD)
    return Decimal(f"{dollars}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}")
