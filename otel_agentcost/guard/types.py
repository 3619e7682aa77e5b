"""The values that go into the guard and come out of it: plain data with a few sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from otel_agentcost.core.budgets import Action, Budget, Scope, Unit
from otel_agentcost.core.call import Call
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard.estimate import Price, Rates
from otel_agentcost.guard.ledger import MOST, Amounts, Claim, Refusal
from otel_agentcost.wire.format import Format

NOTHING_RESERVED: Amounts = {}


@dataclass(slots=True, kw_only=True)
class CallFacts:
    """A call that requests admission. It is never changed; it is not frozen because that doubles the time to make one,
    and each call makes one.
    """

    call_id: str
    """Unique over all processes that share the ledger."""
    call: Call
    scopes: Mapping[Scope, str]
    """The attribution of the call: trace, user, agent ... The model comes from `call`."""
    price: Price
    now: float
    """Epoch seconds."""
    rates: Rates | None = None
    """Returns the prices of text, which need fewer steps than `price`; None if `price` has to be asked."""
    allowances: tuple[tuple[Budget, str], ...] = ()
    """Budgets of the enclosing runs and agents, each with the id of its run, or its agent's name or conversation."""
    trace_id: str | None = None
    """For the text of a refusal."""
    token: str | None = None
    """The token of the mark that the call passes on to another service that shares the ledger; None for none."""
    held: Callable[[str], bool] | None = None
    """Returns True for the keys of budgets that count the call already, for a service upstream."""
    patient: bool = True
    """False if the call must not wait for reserved budget, because a call that waits for this one has reserved it."""
    fixed: Reservation | None = None
    """What the call reserves, if that is not the worst case of its request."""
    lease: float | None = None
    """Seconds after which its reservation expires; None: those of the policy."""
    format: Format | None = None
    """The wire format of the request, whose facets bound its input; None for a call known only from its span."""


class Counted(NamedTuple):
    """One budget that a call counts in."""

    budget: Budget
    value: str
    claim: Claim


class Level(NamedTuple):
    """The use of a budget in one unit after a call has settled (for seconds: when it was admitted)."""

    budget: Budget
    value: str
    unit: Unit
    spent: int
    limit: int
    crossed: Literal["soft", "limit"] | None
    """The limit that this call has crossed. Over all processes, each crossing is seen once in a window; in a rolling
    one again whenever enough was freed in between."""

    @property
    def utilization(self) -> float:
        """The used share of the budget; 1.0 is all of it."""
        return self.spent / self.limit


@dataclass(slots=True)
class Reservation:
    """The amounts that a call wants to reserve. Never changed."""

    amounts: Amounts
    """The worst case."""
    minimum: Amounts
    """With less in any unit, the call is not sent."""
    by_bound: bool
    """True if the input was only bounded: counting its tokens would reserve less."""
    unpriced: str | None = None
    """The reason why the dollars are unknown; None if they are known."""
    max_output: int = 0
    """The output tokens of all choices together that `amounts` is the price of."""
    worst_case: Callable[[int], Amounts] | None = None
    """Returns the worst case of an answer with this number of tokens."""

    def fitting_output(self, reserved: Amounts) -> int:
        """Return the longest answer, in tokens of all choices together, whose worst case stays within `reserved`."""
        if self.worst_case is None:
            return 0
        low, high = 0, self.max_output
        while low < high:
            middle = (low + high + 1) // 2
            if fits(self.worst_case(middle), reserved):
                low = middle
            else:
                high = middle - 1
        return low


def fits(wanted: Amounts, reserved: Amounts) -> bool:
    """Return True if everything that is wanted is reserved."""
    return all(reserved.get(unit, 0) >= amount for unit, amount in wanted.items())


@dataclass(slots=True)
class Ticket:
    """An admitted call. It is settled or released once; doing so again has no effect."""

    call_id: str
    counted: tuple[Counted, ...]
    reserved: Amounts
    wanted: Reservation | None = None
    """What the call wanted to reserve. None: nothing, because no budget applies or the ledger did not answer."""
    shortfalls: Sequence[Refusal] = ()
    """The budgets that had less room than was wanted, each tighter than the one before, and their standing."""
    mark: str | None = None
    """The mark that the reservation proves to other services."""
    model: str | None = None
    """The model to use instead; None: as requested."""
    max_output_tokens: int | None = None
    """The output limit to set, for each choice; None: as requested."""
    fallback_error: BudgetExceeded | None = None
    """The error to raise if the request cannot be changed to another model or output limit."""
    unpriced: str | None = None
    """The reason why the applicable dollar budgets could not check this call."""
    unenforced: str | None = None
    """The reason why no budget could check this call: the error of the ledger."""
    over: tuple[Level, ...] = ()
    """Exceeded budgets that only warn."""
    waited: float = 0.0
    """Seconds that the call waited."""
    done: bool = False

    @property
    def worst_case(self) -> Amounts:
        """The reserved amounts, without those that stand for everything that was left."""
        return {unit: amount for unit, amount in self.reserved.items() if amount < MOST}

    @property
    def most_output_tokens(self) -> int | None:
        """The longest answer, in tokens of all choices together, whose worst case stays within the reservation.

        None: the reservation covers the longest possible or assumed answer, or no budget that blocks applies. Takes a
        fraction of a millisecond, and only streams need it.
        """
        if self.wanted is None or self.max_output_tokens is not None or not self.shortfalls:
            return None
        most = self.wanted.fitting_output(self.reserved)
        return most if most < self.wanted.max_output else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that must not be sent."""

    action: Action
    """The action of the budget. If it is not `block`, it was tried and did not help."""
    error: BudgetExceeded
    """The error to raise."""
    only_held: bool = False
    """True if in-flight calls have reserved what is missing, so that the call might fit later."""
