"""From settings to a guard: which budgets, which ledger, and loudly where none can be enforced.

Called by `runtime.py` at start-up where budgets are set, and later for the first run with an allowance of its own.
"""

from __future__ import annotations

import time
from typing import Any

from otel_agentcost.border import alarm, logger
from otel_agentcost.guard import Guard, Policy
from otel_agentcost.ledger import Ledger, LedgerError, open_ledger
from otel_agentcost.pricebook.longest import longest_answer
from otel_agentcost.settings import Settings

_NEVER_SPENT = "agentcost/does-it-answer"
"""A key that no budget has."""


def policy_of(settings: Settings) -> Policy:
    """What the settings say of budgets, besides the rules."""
    return Policy(
        on_exceed=settings.on_exceed,
        soft_limit=settings.soft_limit,
        wait_seconds=settings.wait_seconds,
        ledger_down=settings.ledger_down,
        downgrade=settings.downgrade,
        unlimited=settings.unlimited_output,
        longest_answer=settings.longest_answer,
        max_output=longest_answer,
        unpriced=settings.unpriced,
        zone=settings.time_zone,
    )


def open_guard(settings: Settings) -> Guard:
    """The guard of these settings. A ledger that does not answer is said at once, at ERROR, and tried again later."""
    ledger = opened(settings)
    problem = unanswered(ledger)
    if problem is not None and settings.rules:
        allowed = settings.ledger_down == "allow"
        consequence = "NO BUDGET IS ENFORCED" if allowed else "EVERY CALL WITH A BUDGET IS REFUSED"
        alarm(f"otel-agentcost: {problem} {consequence} until it answers.")
    elif problem is None and (caution := ledger.caution()) is not None:
        logger.warning("otel-agentcost: %s", caution)
    return Guard(settings.rules, ledger, policy_of(settings))


def opened(settings: Settings) -> Ledger:
    """The ledger that the settings name. One that cannot be opened is one that does not answer, and is treated so."""
    try:
        return open_ledger(settings.ledger, timeout=settings.ledger_timeout)
    except LedgerError as error:
        return _Unopened(str(error))


class _Unopened:
    """A ledger that there is not: a package is missing, or the URL names no file. No verb of it answers."""

    def __init__(self, why: str) -> None:
        self._why = why

    def _fail(self, *_args: object, **_kwargs: object) -> Any:
        raise LedgerError(self._why)

    reserve = settle = release = standing = _fail

    def caution(self) -> str | None:
        return None

    def close(self) -> None: ...


def unanswered(ledger: Ledger) -> str | None:
    """Why `ledger` does not answer, in a sentence; None where it does."""
    try:
        ledger.standing(_NEVER_SPENT, now=time.time())
    except LedgerError as error:
        return str(error)
    except Exception as error:
        return f"The ledger does not answer ({type(error).__name__}: {error!s:.200})."
    return None
