"""One call of two services with one ledger: it is charged once, whichever of both learns what it cost.

The service upstream charges the call by the answer that it gets. It may get none: the gateway fails after its model has
answered, or the application does not wait for it. So the gateway writes down in the ledger what its call has cost, in
the account that proves the mark (`marks.proof`). An account has these calls: none, if the model has not answered; one,
if it has; and one more, if the service upstream has charged the call itself. While upstream is in flight, the account
holds its reservation. So one look at it decides who charges. Where both may think that it is their turn, a reservation
that only one of them can get decides.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from otel_agentcost.guard import marks
from otel_agentcost.guard.ledger import Amounts, Claim, LedgerError, Unit
from otel_agentcost.guard.marks import Mark
from otel_agentcost.guard.resilient_ledger import ResilientLedger

REMEMBERED = 3_600.0
"""Seconds for which the ledger knows who has made and charged a call."""


class Made(NamedTuple):
    """The cost of a gateway's call, by the ledger."""

    nano_usd: int
    tokens: int

    @property
    def amounts(self) -> dict[Unit, int]:
        """The amounts to add to budgets. The call itself is counted already."""
        return {"nano_usd": self.nano_usd, "tokens": self.tokens}


Confirmed = Literal["unproved", "first", "further"]
"""What a shared ledger knows of a mark: the call upstream is not in flight; it is, and this is the first call that is
made for it; or another call, in whichever process of the gateway, is."""


def confirmed(ledger: ResilientLedger, mark: Mark, taker: str, now: float) -> Confirmed:
    """Return what the ledger knows of `mark`, and note that this call is made for it.

    Args:
        ledger: The shared ledger.
        mark: The mark that the request has brought.
        taker: An id of this call.
        now: Epoch seconds.
    """
    standing = ledger.standing(marks.proof_key(mark.text), now)
    if standing is None or not standing.held["calls"]:
        return "unproved"
    return "first" if _is_first(ledger, f"made for/{mark.token}/{mark.hop}", taker, now) else "further"


def left_upstream(ledger: ResilientLedger, mark: Mark, call_id: str, made: Made, now: float) -> bool:
    """Write down what the call for `mark` has cost. Returns False if this process must charge it.

    Args:
        ledger: The shared ledger.
        mark: The mark that the request has brought.
        call_id: The id of this call.
        made: What it has cost.
        now: Epoch seconds.
    """
    # The same id for all gateways in a row: the innermost one ends first, and knows best.
    standings = ledger.settle(
        f"{mark.token} made", (marks.proof(mark.text, now + REMEMBERED),), {**made.amounts, "calls": 1}, now
    )
    for _, standing in standings:
        if not standing.held["calls"] and standing.spent["calls"] <= 1:
            return not _is_first(ledger, f"charged for/{mark.token}", call_id, now)
    return True


def charging(mark: str, now: float) -> Claim:
    """Return the claim that says, as it is settled, that the service upstream charges the call itself."""
    return marks.proof(mark, now + REMEMBERED)


def made_for(ledger: ResilientLedger, mark: str, call_id: str, now: float) -> Made | None:
    """Return what the service upstream must charge for a call that it got no answer to; None for nothing.

    Args:
        ledger: The shared ledger.
        mark: The mark that the call has sent.
        call_id: The id of the call.
        now: Epoch seconds.
    """
    standing = ledger.standing(marks.proof_key(mark), now)
    if standing is None or not standing.spent["calls"]:
        return None
    token = mark.partition(".")[0]
    if not _is_first(ledger, f"charged for/{token}", call_id, now):
        return None
    return Made(standing.spent["nano_usd"], standing.spent["tokens"])


_ONE: Amounts = {"calls": 1}


def _is_first(ledger: ResilientLedger, key: str, who: str, now: float) -> bool:
    claim = Claim(key=key, limits=_ONE, until=now + REMEMBERED, passing=True)
    try:
        return ledger.reserve(f"{who} {key}", (claim,), _ONE, now, REMEMBERED) is None
    except LedgerError:
        return False


def give_back(ledger: ResilientLedger, mark: Mark, taker: str, now: float) -> None:
    """Let another call be the first for `mark`: this one was not answered."""
    ledger.release(f"{taker} made for/{mark.token}/{mark.hop}", now)
