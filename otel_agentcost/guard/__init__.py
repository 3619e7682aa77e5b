"""The guard: whether a call may be made, decided from its worst case and what the budgets that apply have left.

`Guard.admit` (and `admit_async`) answers with a `Ticket` or a `Refused`, which holds the exception to raise; `settle`
then says what the call really took. The guard emits nothing and knows no OpenTelemetry: it returns what is to be
said. Called by the line of `lifecycle.py`.

    values.py      what it is asked and what it answers
    aside.py       the threads in which a slow ledger is asked
    asking.py      what a call asks a ledger to hold
    waiting.py     the queues of calls that wait for money which is only held
    beginnings.py  how long a trace has been running
    reports.py     how far budgets are used, and why a call is refused
    breakers.py    circuit breakers: what has failed too often is left alone for a while
    keeper.py      the ledger, and what happens while it does not answer
    guard.py       the decisions
"""

from __future__ import annotations

from otel_agentcost.guard.breakers import Breakers, Change, Verdict
from otel_agentcost.guard.guard import Guard
from otel_agentcost.guard.reservation import Policy
from otel_agentcost.guard.types import CallFacts, Counted, Level, Refused, Ticket

__all__ = ["Breakers", "CallFacts", "Change", "Counted", "Guard", "Level", "Policy", "Refused", "Ticket", "Verdict"]
