"""A ledger that may be down: it is retried after a pause, and nothing that was settled meanwhile is lost.

After a failure the ledger is not called for a while (a circuit breaker), so that not every call waits for a time-out.
One call then tries again. Settlements that failed are queued, bounded, and repeated when the ledger answers again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from otel_agentcost.core.batch import BatchVerbs, batch_verbs
from otel_agentcost.core.notes import NoteVerbs, keeps_notes
from otel_agentcost.diagnostics import alarm, alarm_once, reraise_foreign
from otel_agentcost.guard import forks
from otel_agentcost.guard.ledger import Amounts, Claim, Ledger, LedgerError, Refusal, Standing

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds without a call after a failure: after the first one, and after many in a row."""

UNSETTLED_AT_MOST = 10_000
UNRELEASED_AT_MOST = 1_000
AT_ONCE = 20
"""Queued settlements that are repeated with each call that the ledger answers."""

_T = TypeVar("_T")
_Settlement = tuple[str, Sequence[Claim], Amounts, float]


class ResilientLedger:
    """A ledger that may be down. Only `reserve` raises: a `LedgerError`."""

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float], consequence: str) -> None:
        """Wrap `ledger`. `consequence` is the sentence that is logged while it does not answer."""
        self.wrapped = ledger
        self._monotonic = monotonic
        self._consequence = consequence
        self._lock = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self._unsettled: deque[_Settlement] = deque()
        self._unreleased: deque[tuple[str, float]] = deque(maxlen=UNRELEASED_AT_MOST)
        """Calls that may have a reservation: it is unknown if the ledger got the request. Each expires with its
        lease."""
        self.lost = 0
        """The number of settlements that were dropped because the queue was full."""
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    @property
    def unsettled(self) -> int:
        """The number of queued settlements."""
        return len(self._unsettled)

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, now: float, lease: float
    ) -> Refusal | None:
        """Reserve, like `Ledger.reserve`.

        Raises:
            LedgerError: The ledger is down.

        """
        self._check_pause()
        try:
            refusal = self.wrapped.reserve(call_id, claims, amounts, now=now, lease=lease)
        except Exception as error:
            reraise_foreign(error)
            self._unreleased.append((call_id, now))  # it may have reserved, and only its answer was lost
            raise self._record_failure(error) from error
        self._record_success()
        return refusal

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """Settle, like `Ledger.settle`. While the ledger is down, settle later and return nothing."""
        try:
            self._check_pause()
        except LedgerError:
            self._queue((call_id, claims, amounts, now))
            return ()
        try:
            standings = self.wrapped.settle(call_id, claims, amounts, now=now)
        except Exception as error:
            reraise_foreign(error)
            self._record_failure(error)
            self._queue((call_id, claims, amounts, now))
            return ()
        self._record_success()
        return standings

    def release(self, call_id: str, now: float) -> None:
        """Release, like `Ledger.release`. While the ledger is down, release later, or let the lease expire."""
        try:
            self._check_pause()
            self.wrapped.release(call_id, now=now)
        except Exception as error:
            reraise_foreign(error)
            self._unreleased.append((call_id, now))
            if not isinstance(error, Paused):
                self._record_failure(error)
            return
        self._record_success()

    def standing(self, key: str, now: float) -> Standing | None:
        """Return the standing, like `Ledger.standing`; None while the ledger is down."""
        try:
            self._check_pause()
            standing = self.wrapped.standing(key, now=now)
        except Exception as error:
            reraise_foreign(error)
            if not isinstance(error, Paused):
                self._record_failure(error)
            return None
        self._record_success()
        return standing

    def ask(self, verb: Callable[[BatchVerbs], _T]) -> _T:
        """Return the answer of a verb for batches.

        Raises:
            LedgerError: The ledger is down. What was not kept or counted stays so, and is done with a later reading.
        """
        return self._asked(lambda: verb(batch_verbs(self.wrapped)))

    def ask_notes(self, verb: Callable[[NoteVerbs], _T]) -> _T:
        """Return the answer of a verb for notes.

        Raises:
            LedgerError: The ledger is down, or keeps no notes.
        """
        ledger: object = self.wrapped
        if not keeps_notes(ledger):
            raise LedgerError(f"{type(ledger).__name__} keeps no notes")
        return self._asked(lambda: verb(ledger))

    def _asked(self, question: Callable[[], _T]) -> _T:
        self._check_pause()
        try:
            answer = question()
        except Exception as error:  # of the ledger, which may be one of another distribution
            reraise_foreign(error)
            raise self._record_failure(error) from error
        self._record_success()
        return answer

    def close(self) -> None:
        """Close the ledger at the end of the process or of the instrumentation. Queued settlements are tried once more;
        those that fail are logged.
        """
        queued = len(self._unsettled)
        if queued:
            self._until = 0.0
            with suppress(LedgerError):
                self._check_pause()
                self._settle_queued(queued)
        if self._unsettled or self.lost:
            missing = len(self._unsettled) + self.lost
            alarm(
                f"otel-agentcost: the cost of {missing} call(s) is missing in the ledger of budgets, because it did "
                "not answer."
            )
        self.wrapped.close()

    def _check_pause(self) -> None:
        if not self._pause:
            return
        with self._lock:
            now = self._monotonic()
            if now < self._until:
                raise Paused("it did not answer a moment ago")
            self._until = now + self._pause  # this call tries; the others go on without

    def _record_failure(self, error: BaseException) -> LedgerError:
        with self._lock:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause or FIRST_PAUSE)
            self._until = self._monotonic() + self._pause
        reason = str(error) if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
        alarm_once(
            f"ledger: {type(error).__name__}",
            f"otel-agentcost: the ledger of budgets does not answer ({reason:.300}). {self._consequence}",
        )
        return error if isinstance(error, LedgerError) else LedgerError(reason)

    def _queue(self, settlement: _Settlement) -> None:
        with self._lock:
            if len(self._unsettled) >= UNSETTLED_AT_MOST:
                self._unsettled.popleft()
                self.lost += 1
            self._unsettled.append(settlement)

    def _record_success(self) -> None:
        if not self._pause and not self._unsettled and not self._unreleased:
            return
        self._pause = 0.0
        self._settle_queued(AT_ONCE)
        self._release_queued(AT_ONCE)

    def _settle_queued(self, most: int) -> None:
        for _ in range(most):
            try:
                call_id, claims, amounts, now = settlement = self._unsettled.popleft()
            except IndexError:
                return
            try:
                self.wrapped.settle(call_id, claims, amounts, now=now)
            except BaseException as error:  # of others too: nothing of the call may be lost
                self._queue(settlement)
                reraise_foreign(error)
                self._record_failure(error)
                return

    def _release_queued(self, most: int) -> None:
        for _ in range(most):
            try:
                call_id, now = self._unreleased.popleft()
            except IndexError:
                return
            try:
                self.wrapped.release(call_id, now=now)
            except BaseException as error:  # of others too: nothing of the call may be lost
                self._unreleased.append((call_id, now))
                reraise_foreign(error)
                self._record_failure(error)
                return


class Paused(LedgerError):
    """The ledger is not called during the pause after a failure."""
