"""From settings to a guard: which budgets, which ledger, and loudly where none can be enforced.

Called by `runtime.py` at start-up where budgets are set, and later for the first run with an allowance of its own.
"""

from __future__ import annotations

import time

from otel_agentcost.border import logger
from otel_agentcost.guard import Guard, Policy
from otel_agentcost.ledger import Ledger, LedgerError, open_ledger
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
        unpriced=settings.unpriced,
        zone=settings.time_zone,
    )


def open_guard(settings: Settings) -> Guard:
    """The guard of these settings. A ledger that does not answer is said at once, at ERROR, and tried again later."""
    ledger = open_ledger(settings.ledger, timeout=settings.ledger_timeout)
    problem = unanswered(ledger)
    if problem is not None:
        consequence = (
            "NO BUDGET IS ENFORCED" if settings.ledger_down == "allow" else "EVERY CALL WITH A BUDGET IS REFUSED"
        )
        logger.error("otel-agentcost: %s %s until it answers.", problem, consequence)
    return Guard(settings.rules, ledger, policy_of(settings))


def unanswered(ledger: Ledger) -> str | None:
    """Why `ledger` does not answer, in a sentence; None where it does."""
    try:
        ledger.standing(_NEVER_SPENT, now=time.time())
    except LedgerError as error:
        return str(error)
    except Exception as error:
        return f"The ledger does not answer ({type(error).__name__}: {error!s:.200})."
    return None
