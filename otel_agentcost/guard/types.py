"""What the guard is asked and what it answers: plain values, no behaviour but small sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from otel_agentcost.core.budgets import Action, Budget, Scope, Unit
from otel_agentcost.core.call import Call
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard.estimate import Price
from otel_agentcost.guard.ledger import Amounts, Claim, Refusal
from otel_agentcost.wire.format import Format

NOTHING_HELD: Amounts = {}


@dataclass(slots=True, kw_only=True)
class CallFacts:
    """A call that asks to be admitted. One is made for each call, so it is not frozen, which would cost as much again:
    nobody changes it.
    """

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
    format: Format | None = None
    """The wire format of the request, whose facets bound its input; None for a call known only from its span."""


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


@dataclass(slots=True)
class Ask:
    """What to ask a ledger for. One is made for each call: nobody changes it."""

    wanted: Amounts
    least: Amounts
    """With less in any unit, the call may not run."""
    by_bound: bool
    """Whether the input was only bounded: counting it would ask for less."""
    unpriced: str | None = None
    """Why dollars are asked for without knowing how many."""
    longest: int = 0
    """The output tokens, all choices together, of which `wanted` is the price."""
    dearest: Callable[[int], Amounts] | None = None
    """What the call asks for with an answer of so many tokens."""

    def fitting_output(self, held: Amounts) -> int:
        """The longest answer, in tokens of all choices together, whose worst case stays within `held`."""
        if self.dearest is None:
            return 0
        low, high = 0, self.longest
        while low < high:
            middle = (low + high + 1) // 2
            if fits(self.dearest(middle), held):
                low = middle
            else:
                high = middle - 1
        return low


def fits(wanted: Amounts, held: Amounts) -> bool:
    """Whether what is held is all that is wanted."""
    return all(held.get(unit, 0) >= amount for unit, amount in wanted.items())


@dataclass(slots=True)
class Ticket:
    """An admitted call. It is settled or released once; what comes after that changes nothing."""

    call_id: str
    counted: tuple[Counted, ...]
    held: Amounts
    ask: Ask | None = None
    """What the call asked for. None: nothing, because no budget applies, or because nobody could be asked."""
    tight: Sequence[Refusal] = ()
    """Which budgets left less room than was asked for, each tighter than the one before, and how they stood."""
    model: str | None = None
    """The model to ask instead; None: the one that was asked for."""
    max_output_tokens: int | None = None
    """The output limit to set, per choice; None: as the request has it."""
    instead: BudgetExceeded | None = None
    """What is to be raised after all where the request cannot be changed to another model or limit."""
    unpriced: str | None = None
    """Why the dollar budgets that apply could not look at this call."""
    unenforced: str | None = None
    """Why no budget could look at this call: what the ledger said."""
    over: tuple[Level, ...] = ()
    """Budgets that only warn and are used up already."""
    waited: float = 0.0
    """For how many seconds the call waited."""
    done: bool = False

    @property
    def most_output_tokens(self) -> int | None:
        """The longest answer, in tokens of all choices together, whose worst case stays within what is held. None: what
        is held covers whatever may come, or the longest answer that is assumed, or no budget that blocks applies.

        Worked out when it is asked for, in a fraction of a millisecond: only streams want it.
        """
        if self.ask is None or self.max_output_tokens is not None or not self.tight:
            return None
        most = self.ask.fitting_output(self.held)
        return most if most < self.ask.longest else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that must not be made."""

    action: Action
    """What the budget's rule says: where it is not `block`, that was tried and did not help."""
    error: BudgetExceeded
    """To be raised."""
    only_held: bool = False
    """Whether calls in flight hold what is missing: a little later, the call might fit."""
