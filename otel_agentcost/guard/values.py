"""What the guard is asked and what it answers: plain values, no behaviour but small sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from otel_agentcost.core.budgets import Action, Budget, Scope, Unit
from otel_agentcost.core.call import Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.ledger import Amounts, Claim

Unlimited = Literal["rest", "assume"]
"""What a call without an output limit may do: run and hold the rest of its tightest budget (up to the
longest answer there is), or hold an assumed answer and not run where that does not fit."""

NOTHING_HELD: Amounts = {}

Price = Callable[[Usage, "str | None"], Cost]
"""What a usage costs with a model (the name that would be asked for)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """A call that asks to be admitted."""

    call_id: str
    """Unique over all processes that share the ledger."""
    call: Call
    scopes: Mapping[Scope, str]
    """Whose call it is. The model is known from the call."""
    price: Price
    now: float
    """Seconds of the epoch."""
    allowances: tuple[tuple[Budget, str], ...] = ()
    """Further budgets that the code itself has opened, each with the value it is for."""
    trace_id: str | None = None
    """For what a refusal says."""


class Counted(NamedTuple):
    """One budget that a call counts in."""

    budget: Budget
    value: str
    claim: Claim


class Level(NamedTuple):
    """How far a budget is used in one unit, after a call has settled (or, for seconds, when it was admitted)."""

    budget: Budget
    value: str
    unit: Unit
    spent: int
    limit: int
    crossed: Literal["soft", "limit"] | None
    """What this very call has crossed: over all processes, each is reported once a window."""

    @property
    def utilization(self) -> float:
        """1.0 is the whole budget."""
        return self.spent / self.limit


@dataclass(slots=True, kw_only=True)
class Ticket:
    """An admitted call. It is settled or released once; what comes after that changes nothing."""

    call_id: str
    counted: tuple[Counted, ...]
    held: Amounts = field(default_factory=lambda: NOTHING_HELD)
    model: str | None = None
    """The model to ask instead; None: the one that was asked for."""
    max_output_tokens: int | None = None
    """The output limit to set, per choice; None: as the request has it."""
    unpriced: str | None = None
    """Why the dollar budgets that apply could not look at this call."""
    unenforced: str | None = None
    """Why no budget could look at this call: what the ledger said."""
    over: tuple[Level, ...] = ()
    """Budgets that only warn and are used up already."""
    waited: float = 0.0
    """For how many seconds the call waited."""
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that must not be made."""

    action: Action
    """What the budget's rule says: where it is not `block`, that was tried and did not help."""
    error: BudgetExceeded
    """To be raised."""
    only_held: bool = False
    """Whether calls in flight hold what is missing: a little later, the call might fit."""
