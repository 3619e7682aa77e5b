"""From settings to a guard: which budgets, which ledger, and loudly where none can be enforced.

Called by `runtime.py` at start-up where budgets are set, and later for the first run with an allowance of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from otel_agentcost.diagnostics import alarm, logger
from otel_agentcost.guard import Guard, Policy
from otel_agentcost.guard.ledger import Amounts, Claim, Ledger, LedgerError, Refusal, Standing, open_ledger
from otel_agentcost.guard.ledger.memory import MemoryLedger
from otel_agentcost.pricebook.output_limits import output_limit
from otel_agentcost.settings.table import Settings

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
        max_output=output_limit,
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
        ledger = open_ledger(settings.ledger, timeout=settings.ledger_timeout)
    except LedgerError as error:
        return _Unopened(str(error))
    return ledger if isinstance(ledger, MemoryLedger) else _Quiet(ledger)


class _Quiet:
    """A ledger whose store may be instrumented by others: what we ask it is no work of the application's."""

    def __init__(self, ledger: Ledger) -> None:
        from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415 (who shares a ledger)

        self._ledger = ledger
        self._suppressed = suppress_instrumentation

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        with self._suppressed():
            return self._ledger.reserve(call_id, claims, amounts, now=now, lease=lease)

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        with self._suppressed():
            return self._ledger.settle(call_id, claims, amounts, now=now)

    def release(self, call_id: str, *, now: float) -> None:
        with self._suppressed():
            self._ledger.release(call_id, now=now)

    def standing(self, key: str, *, now: float) -> Standing:
        with self._suppressed():
            return self._ledger.standing(key, now=now)

    def caution(self) -> str | None:
        with self._suppressed():
            return self._ledger.caution()

    def close(self) -> None:
        self._ledger.close()


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
