"""Short words for what tests of ledgers say often. Also used by the processes they start: imports little."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence

from otel_agentcost.guard.ledger import Amounts, Claim, Ledger, Standing, Unit

NOW = 1_800_000_000.25


def claim(key: str = "user=u1/day", until: float | None = NOW + 86400, **limits: int) -> Claim:
    named: Mapping[str, Unit] = {
        "nano_usd": "nano_usd", "tokens": "tokens", "calls": "calls", "tool_calls": "tool_calls",
    }  # fmt: skip
    return Claim(key=key, limits={named[unit]: limit for unit, limit in limits.items()}, until=until)


def amounts(nano_usd: int = 0, tokens: int = 0, calls: int = 0, tool_calls: int = 0) -> Amounts:
    return {"nano_usd": nano_usd, "tokens": tokens, "calls": calls, "tool_calls": tool_calls}


def stands(spent: Amounts | None = None, held: Amounts | None = None) -> Standing:
    return Standing(spent=spent or amounts(), held=held or amounts())


def admitted(ledger: Ledger, call_id: str, claims: Sequence[Claim], nano_usd: int, now: float = NOW) -> bool:
    return ledger.reserve(call_id, claims, amounts(nano_usd), now=now, lease=60) is None


def in_a_child(check: Callable[[], bool]) -> bool:
    """Whether `check` is true in a forked child, which is given ten seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0
