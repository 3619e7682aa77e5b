"""From settings to a guard: open the ledger, probe it, and log loudly if no budget can be enforced.

Called by `runtime.py` at start-up if budgets are set, otherwise by the first run with a budget of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from otel_agentcost.core.batch import BatchVerbs, KeptBatch, LinesCounted, batch_verbs
from otel_agentcost.core.budgets import Budget, rolling_seconds
from otel_agentcost.core.notes import NoteVerbs, keeps_notes
from otel_agentcost.diagnostics import alarm, logger, report
from otel_agentcost.guard.guard import Guard
from otel_agentcost.guard.ledger import Amounts, Claim, Ledger, LedgerError, Refusal, Standing, open_ledger
from otel_agentcost.guard.reservation import Policy
from otel_agentcost.pricebook.output_limits import output_limit
from otel_agentcost.settings import Settings

_NEVER_SPENT = "agentcost/does-it-answer"
"""A key that no budget has."""

_MEMBERS = ("shared", "blocking", "has_timeout", "rolling", "keys", "ended", "caution", "close")
"""The members of `Ledger` that have defaults."""


def policy_of(settings: Settings) -> Policy:
    """Return the policy of the settings: each of its fields has the value of the setting of the same name."""
    named = {each.name: getattr(settings, each.name) for each in fields(Policy) if hasattr(settings, each.name)}
    return Policy(**named, max_output=output_limit)


def open_guard(
    settings: Settings,
    ledger: Ledger,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    clock: Callable[[], float] = time.time,
) -> Guard:
    """Make the guard of these settings. A ledger that does not answer is logged at ERROR, and tried again later.

    Args:
        settings: The settings of this process.
        ledger: The ledger of these settings, as `opened` returns it.
        monotonic: Returns seconds that only grow.
        clock: Returns epoch seconds.

    """
    problem = unanswered(ledger, clock())
    if problem is not None and settings.rules:
        allowed = settings.ledger_down == "allow"
        consequence = "NO BUDGET IS ENFORCED" if allowed else "EVERY CALL WITH A BUDGET IS REFUSED"
        alarm(f"otel-agentcost: {problem} {consequence} until it answers.")
    elif problem is None:
        _warn_about(ledger)
    if (fixed := counted_in_fixed_windows(settings.rules, ledger)) is not None:
        logger.warning("otel-agentcost: %s", fixed)
    return Guard(settings.rules, ledger, policy_of(settings), monotonic=monotonic)


def counted_in_fixed_windows(rules: Sequence[Budget], ledger: Ledger) -> str | None:
    """Return a sentence on the budgets whose rolling windows a ledger does not know; None if there are none."""
    rolling = [rule.text for rule in rules if rolling_seconds(rule.window) is not None]
    if not rolling or getattr(ledger, "rolling", False):
        return None
    return (
        f"The ledger does not know rolling windows, so {'; '.join(rolling):.200} is counted in fixed windows that "
        "overlap: it is never passed, and spend is freed after one to two times its window."
    )


def _warn_about(ledger: Ledger) -> None:
    try:
        caution = ledger.caution()
    except Exception as error:
        report("checking the setup of the ledger", error)
    else:
        if caution is not None:
            logger.warning("otel-agentcost: %s", caution)


def opened(ledger: str | Ledger, timeout: float, *, strict: bool = False) -> Ledger:
    """Return the ledger of a URL, or the object itself, with every member of `Ledger`.

    Args:
        ledger: The setting `ledger`.
        timeout: Seconds that a call waits for the answer of a server.
        strict: The setting `strict`.

    Returns:
        A ledger. If the URL cannot be opened, one whose verbs all raise the `LedgerError`: it does not answer.

    Raises:
        LedgerError: The URL cannot be opened, and `strict` is set. A server that does not answer is no reason.

    """
    if isinstance(ledger, str):
        try:
            ledger = open_ledger(ledger, timeout=timeout)
        except LedgerError as error:
            if strict:
                raise
            return _Unavailable(str(error))
    return completed(ledger)


def completed(ledger: Ledger) -> Ledger:
    """Return a ledger with every member of `Ledger`, whose own calls other instrumentations do not see."""
    complete = all(hasattr(ledger, member) for member in _MEMBERS)
    if complete and not ledger.blocking:
        return ledger
    return _UninstrumentedNotes(ledger) if keeps_notes(cast("object", ledger)) else _Uninstrumented(ledger)


class _Uninstrumented(Ledger, BatchVerbs):
    """Calls a ledger with instrumentation suppressed: its queries are no work of the application.

    A member of `Ledger` that the wrapped object lacks has its default.
    """

    def __init__(self, ledger: Ledger) -> None:
        from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415 (not for memory://)

        self.shared = getattr(ledger, "shared", True)
        self.blocking = getattr(ledger, "blocking", True)
        self.has_timeout = getattr(ledger, "has_timeout", True)
        self.rolling = getattr(ledger, "rolling", False)
        self._ledger = ledger
        self._batches = batch_verbs(ledger)
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

    def keys(self, *, now: float) -> Sequence[str]:
        if not hasattr(self._ledger, "keys"):
            return ()
        with self._suppressed():
            return self._ledger.keys(now=now)

    def ended(self, key: str) -> None:
        if hasattr(self._ledger, "ended"):
            with self._suppressed():
                self._ledger.ended(key)

    def keep_batch(self, key: str, record: str, *, now: float, until: float) -> bool:
        with self._suppressed():
            return self._batches.keep_batch(key, record, now=now, until=until)

    def name_batch(self, key: str, names: Collection[str], *, now: float) -> None:
        with self._suppressed():
            self._batches.name_batch(key, names, now=now)

    def find_batch(self, name: str, *, now: float) -> KeptBatch | None:
        with self._suppressed():
            return self._batches.find_batch(name, now=now)

    def open_batches(self, *, now: float) -> Sequence[KeptBatch]:
        with self._suppressed():
            return self._batches.open_batches(now=now)

    def count_lines(
        self, key: str, claims: Sequence[Claim], lines: Mapping[str, Amounts], *, now: float
    ) -> LinesCounted:
        with self._suppressed():
            return self._batches.count_lines(key, claims, lines, now=now)

    def close_batch(self, key: str, *, now: float) -> bool:
        with self._suppressed():
            return self._batches.close_batch(key, now=now)

    def caution(self) -> str | None:
        if not hasattr(self._ledger, "caution"):
            return None
        with self._suppressed():
            return self._ledger.caution()

    def close(self) -> None:
        if hasattr(self._ledger, "close"):
            self._ledger.close()


class _UninstrumentedNotes(_Uninstrumented, NoteVerbs):
    """The same for a ledger that keeps notes."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._notes = cast("NoteVerbs", ledger)

    def find_note(self, key: str, *, now: float) -> str | None:
        with self._suppressed():
            return self._notes.find_note(key, now=now)

    def swap_note(self, key: str, before: str | None, after: str | None, *, now: float, until: float) -> bool:
        with self._suppressed():
            return self._notes.swap_note(key, before, after, now=now, until=until)


class _Unavailable(Ledger):
    """Stands for a ledger that cannot be opened: a package is missing, or the URL is wrong. No verb of it answers."""

    blocking = False
    rolling = True

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def _fail(self, *_args: object, **_kwargs: object) -> Any:
        raise LedgerError(self._reason)

    reserve = settle = release = standing = keys = _fail
    keep_batch = name_batch = find_batch = open_batches = count_lines = close_batch = _fail


def unanswered(ledger: Ledger, now: float) -> str | None:
    """Return a sentence on why `ledger` does not answer, or None if it does."""
    try:
        ledger.standing(_NEVER_SPENT, now=now)
    except LedgerError as error:
        return str(error)
    except Exception as error:
        return f"The ledger does not answer ({type(error).__name__}: {error!s:.200})."
    return None
