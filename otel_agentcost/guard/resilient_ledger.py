"""The ledger as the guard uses it: what happens while it does not answer, and nothing settled meanwhile lost.

After a failure the ledger is left alone for a while (a circuit breaker), so that calls do not wait for a time-out
each; one call then tries again. What could not be settled is kept, bounded, and settled when it answers again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from otel_agentcost.diagnostics import alarm, alarm_once
from otel_agentcost.guard.ledger import Amounts, Claim, Ledger, LedgerError, Refusal, Standing

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds for which a ledger that failed is left alone: the first time, and after many failures in a row."""

UNSETTLED_AT_MOST = 10_000
UNRELEASED_AT_MOST = 1_000
AT_ONCE = 20
"""How many calls are settled belatedly with each call that the ledger answers."""

_Late = tuple[str, Sequence[Claim], Amounts, float]


class Keeper:
    """A ledger that may be down. Raises `LedgerError` from `reserve` alone."""

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float], consequence: str) -> None:
        self.ledger = ledger
        self._monotonic = monotonic
        self._consequence = consequence
        self._lock = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self._unsettled: deque[_Late] = deque()
        self._unreleased: deque[tuple[str, float]] = deque(maxlen=UNRELEASED_AT_MOST)
        """Calls that may hold something: whether the ledger has heard is not known. Each hold ends with its lease."""
        self.lost = 0
        """How many calls' spending could not be kept until the ledger answered again."""

    @property
    def unsettled(self) -> int:
        """How many calls wait to be settled."""
        return len(self._unsettled)

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, now: float, lease: float
    ) -> Refusal | None:
        """As the ledger's. Raises `LedgerError` while it is down."""
        self._knock()
        try:
            found = self.ledger.reserve(call_id, claims, amounts, now=now, lease=lease)
        except Exception as error:
            self._unreleased.append((call_id, now))  # it may have reserved, and its answer be lost
            raise self._failed(error) from error
        self._answered()
        return found

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """As the ledger's; nothing while it is down, and settled later."""
        try:
            self._knock()
        except LedgerError:
            self._keep((call_id, claims, amounts, now))
            return ()
        try:
            found = self.ledger.settle(call_id, claims, amounts, now=now)
        except Exception as error:
            self._failed(error)
            self._keep((call_id, claims, amounts, now))
            return ()
        self._answered()
        return found

    def release(self, call_id: str, now: float) -> None:
        """As the ledger's; while it is down, released later, or with its lease."""
        try:
            self._knock()
            self.ledger.release(call_id, now=now)
        except Exception as error:
            self._unreleased.append((call_id, now))
            if not isinstance(error, _Paused):
                self._failed(error)
            return
        self._answered()

    def standing(self, key: str, now: float) -> Standing | None:
        """As the ledger's; None while it is down."""
        try:
            self._knock()
            found = self.ledger.standing(key, now=now)
        except Exception as error:
            if not isinstance(error, _Paused):
                self._failed(error)
            return None
        self._answered()
        return found

    def close(self) -> None:
        """The end of the process, or of the instrumentation: what is yet to be settled is tried once more, or said."""
        late = len(self._unsettled)
        if late:
            self._until = 0.0
            with suppress(LedgerError):
                self._knock()
                self._settle_late(late)
        if self._unsettled or self.lost:
            missing = len(self._unsettled) + self.lost
            alarm(
                f"otel-agentcost: the cost of {missing} call(s) is missing in the ledger of budgets, because it did "
                "not answer."
            )
        self.ledger.close()

    def _knock(self) -> None:
        if not self._pause:
            return
        with self._lock:
            now = self._monotonic()
            if now < self._until:
                raise _Paused("it did not answer a moment ago")
            self._until = now + self._pause  # this one tries; the others go on without

    def _failed(self, error: Exception) -> LedgerError:
        with self._lock:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause or FIRST_PAUSE)
            self._until = self._monotonic() + self._pause
        reason = str(error) if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
        alarm_once(
            f"ledger: {type(error).__name__}",
            f"otel-agentcost: the ledger of budgets does not answer ({reason:.300}). {self._consequence}",
        )
        return error if isinstance(error, LedgerError) else LedgerError(reason)

    def _keep(self, late: _Late) -> None:
        with self._lock:
            if len(self._unsettled) >= UNSETTLED_AT_MOST:
                self._unsettled.popleft()
                self.lost += 1
            self._unsettled.append(late)

    def _answered(self) -> None:
        if not self._pause and not self._unsettled and not self._unreleased:
            return
        self._pause = 0.0
        self._settle_late(AT_ONCE)
        self._release_late(AT_ONCE)

    def _settle_late(self, most: int) -> None:
        for _ in range(most):
            try:
                call_id, claims, amounts, now = late = self._unsettled.popleft()
            except IndexError:
                return
            try:
                self.ledger.settle(call_id, claims, amounts, now=now)
            except Exception as error:
                self._failed(error)
                self._keep(late)
                return

    def _release_late(self, most: int) -> None:
        for _ in range(most):
            try:
                call_id, now = late = self._unreleased.popleft()
            except IndexError:
                return
            try:
                self.ledger.release(call_id, now=now)
            except Exception as error:
                self._failed(error)
                self._unreleased.append(late)
                return


class _Paused(LedgerError):
    """The ledger is left alone for now."""
