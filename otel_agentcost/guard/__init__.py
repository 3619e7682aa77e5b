"""The guard: decides if a call may be sent, from its worst case and what is left in the budgets that apply.

`Guard.admit` (and `admit_async`) returns a `Ticket`, or a `Refused` with the exception to raise. `Guard.settle` then
counts the real cost. The guard uses no OpenTelemetry: it returns what there is to report, and logs nothing but a ledger
that does not answer. The callers are in `calls/`.

    guard.py             the decisions
    applicable.py        the budgets that a call counts in
    estimate.py          the worst case of a call
    reservation.py       what a call reserves
    queue.py             calls that wait for budget reserved by in-flight calls
    executor.py          threads for blocking ledgers
    start_times.py       the age of traces
    outcomes.py          levels of budgets, and errors of refusals
    types.py             the values that go in and come out
    breakers.py          circuit breakers
    stream_meter.py      the output tokens of a stream
    resilient_ledger.py  a ledger that may be down
    opening.py           from settings to a guard
    ledger/              the kinds of ledgers
    sqlite_file.py       a file that several processes use, for ledgers and stores of caches
    redis_server.py      a server of Redis or Valkey, for the same
    fork_safe.py         their locks in a fork
    forks.py             other locks in a fork
"""

from __future__ import annotations

from otel_agentcost.guard.breakers import Breakers, Change, Verdict
from otel_agentcost.guard.guard import Guard
from otel_agentcost.guard.reservation import Policy
from otel_agentcost.guard.types import CallFacts, Counted, Level, Refused, Ticket

__all__ = ["Breakers", "CallFacts", "Change", "Counted", "Guard", "Level", "Policy", "Refused", "Ticket", "Verdict"]
