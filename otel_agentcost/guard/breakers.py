"""Circuit breakers: whether something that has failed too often is left alone for a while. Decides, and emits nothing.

A breaker is closed, open, or half-open: then one call is tried, and it closes if that is admitted. Its state is in the
ledger, so that all who share that share it, as one key that says everything:

    held `nano_usd`     it is open; the hold ends by its lease, and with it that state
    spent `calls`       how often it was opened
    spent `tool_calls`  which of these openings are closed again: as long as some is not, it is half-open
    held `tokens`       a call is being tried

What trips it is counted in keys of a tenth of its time each, anew after each closing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from otel_agentcost.core.breakers import Breaker, Trip
from otel_agentcost.core.budgets import Scope
from otel_agentcost.guard.keeper import Keeper
from otel_agentcost.ledger import Amounts, Claim, LedgerError, Standing
from otel_agentcost.ledger.memory import MemoryLedger

State = Literal["open", "half_open", "closed"]

PARTS = 10
"""Of a breaker's time. What is older than that is not counted, and of its oldest tenth a part is not."""

FRESH = 1.0
"""Seconds for which an answer of a shared ledger holds: so late others hear of an opening at most."""

TRIAL = 60.0
"""Seconds after which a trial that nobody has heard of any more makes room for the next."""

_REMEMBERED = 86400.0
_MOST_KNOWN = 1000


class Change(NamedTuple):
    """A breaker's state has changed."""

    breaker: Breaker
    value: str
    state: State


class Trial(NamedTuple):
    """A call that is tried on a half-open breaker."""

    breaker: Breaker
    value: str
    call_id: str
    openings: int
    """How many of them are not closed."""


class Verdict(NamedTuple):
    """What the breakers say of a call: who refuses it, if any, or what it is the trial of."""

    refusing: tuple[Breaker, str] | None = None
    trials: tuple[Trial, ...] = ()


_PASSES = Verdict()


class Breakers:
    """All of them. Used from any thread. A ledger that does not answer refuses nothing here."""

    def __init__(
        self, rules: Sequence[Breaker], keeper: Keeper, new_id: Callable[[], str], monotonic: Callable[[], float]
    ) -> None:
        self._rules = rules
        self._keeper = keeper
        self._new_id = new_id
        self._monotonic = monotonic
        self._fresh = 0.0 if isinstance(keeper.ledger, MemoryLedger) else FRESH
        self._known: dict[str, tuple[float, Standing]] = {}

    def ask(self, scopes: Mapping[Scope, str], now: float) -> Verdict:
        """Before a call: may it be made?"""
        trials: list[Trial] = []
        for breaker, value in self._applying(scopes):
            key = _key(breaker, value)
            standing = self._standing(key, now)
            state = _state(standing)
            if state == "closed":
                continue
            trial = self._try(breaker, value, standing, now) if state == "half_open" else None
            if trial is None:
                for other in trials:
                    self._keeper.release(other.call_id, now)
                return Verdict(refusing=(breaker, value))
            trials.append(trial)
        return Verdict(trials=tuple(trials)) if trials else _PASSES

    def tripped(self, scopes: Mapping[Scope, str], trip: Trip, now: float) -> list[Change]:
        """A call was refused by a budget, or is in a loop."""
        return [
            Change(breaker, value, "open")
            for breaker, value in self._applying(scopes)
            if breaker.counts(trip) and self._opens(breaker, value, now)
        ]

    def admitted(self, verdict: Verdict, now: float) -> list[Change]:
        """The call that was asked for is made: what it was the trial of is closed."""
        changes: list[Change] = []
        for trial in verdict.trials:
            key = _key(trial.breaker, trial.value)
            claim = Claim(key=key, limits={}, until=now + trial.breaker.open_for + _REMEMBERED)
            self._keeper.settle(trial.call_id, [claim], {"tool_calls": trial.openings}, now)
            self._known.pop(key, None)
            changes.append(Change(trial.breaker, trial.value, "closed"))
        return changes

    def given_up(self, verdict: Verdict, now: float) -> None:
        """The call that was asked for is not made after all, and proves nothing."""
        for trial in verdict.trials:
            self._keeper.release(trial.call_id, now)

    def _applying(self, scopes: Mapping[Scope, str]) -> Iterator[tuple[Breaker, str]]:
        for breaker in self._rules:
            value = breaker.value(scopes)
            if value is not None:
                yield breaker, value

    def _standing(self, key: str, now: float) -> Standing | None:
        if self._fresh:
            at, known = self._known.get(key, (0.0, None))
            if known is not None and self._monotonic() - at < self._fresh:
                return known
        found = self._keeper.standing(key, now)
        if self._fresh and found is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._monotonic(), found
        return found

    def _try(self, breaker: Breaker, value: str, standing: Standing | None, now: float) -> Trial | None:
        """Makes this call the trial, unless there is one."""
        openings = _unclosed(standing) if standing is not None else 0
        trial = Trial(breaker, value, self._new_id(), openings)
        held = self._hold(trial.call_id, Claim(key=_key(breaker, value), limits={"tokens": 1}, until=None), now, TRIAL)
        return trial if held else None

    def _hold(self, call_id: str, claim: Claim, now: float, lease: float) -> bool:
        try:
            unit = next(iter(claim.limits))
            return self._keeper.reserve(call_id, [claim], {unit: 1}, now, lease) is None
        except LedgerError:
            return False

    def _opens(self, breaker: Breaker, value: str, now: float) -> bool:
        """Counts one more, and opens the breaker if that is one too many, or was the trial."""
        key = _key(breaker, value)
        standing = self._keeper.standing(key, now)
        state = _state(standing)
        if standing is None or state == "open":
            return False
        if self._count(breaker, f"{key}/{standing.spent['tool_calls']}", now) < breaker.times and state == "closed":
            return False
        until = now + breaker.open_for + _REMEMBERED
        opening = Claim(key=key, limits={"nano_usd": 1}, until=until)
        if not self._hold(self._new_id(), opening, now, breaker.open_for):
            return False  # somebody else was faster
        self._keeper.settle(self._new_id(), [Claim(key=key, limits={}, until=until)], {"calls": 1}, now)
        self._known.pop(key, None)
        return True

    def _count(self, breaker: Breaker, key: str, now: float) -> int:
        width = breaker.within / PARTS
        latest = int(now // width)
        one: Amounts = {"calls": 1}
        claim = Claim(key=f"{key}/{latest}", limits={}, until=(latest + 1 + PARTS) * width)
        counted = sum(standing.spent["calls"] for _, standing in self._keeper.settle(self._new_id(), [claim], one, now))
        for part in range(latest - PARTS + 1, latest):
            if counted >= breaker.times:
                break
            earlier = self._keeper.standing(f"{key}/{part}", now)
            counted += earlier.spent["calls"] if earlier is not None else 0
        return counted


def _key(breaker: Breaker, value: str) -> str:
    return f"breaker/{breaker.text}/{value}"


def _unclosed(standing: Standing) -> int:
    return standing.spent["calls"] - standing.spent["tool_calls"]


def _state(standing: Standing | None) -> State:
    if standing is None:
        return "closed"
    if standing.held["nano_usd"]:
        return "open"
    return "half_open" if _unclosed(standing) > 0 else "closed"
