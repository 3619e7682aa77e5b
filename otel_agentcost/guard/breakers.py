"""Circuit breakers: block an agent, user or feature for a while after too many refusals or loops.

A breaker is closed, open, or half-open: then one call is tried, and the breaker closes if it is admitted. The state is
in the ledger, so that all processes that share the ledger share it. One key has all of it:

    held `nano_usd`     it is open, until the lease of this reservation expires
    spent `calls`       the number of openings
    spent `tool_calls`  the number of openings that are closed again; if there are fewer than openings, it is half-open
    held `tokens`       a call is being tried

Trips are counted in keys of a tenth of the breaker's period each, from zero after each closing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from otel_agentcost.core.breakers import Breaker, Trip
from otel_agentcost.core.budgets import Scope
from otel_agentcost.guard.ledger import Amounts, Claim, LedgerError, Standing
from otel_agentcost.guard.resilient_ledger import ResilientLedger

State = Literal["open", "half_open", "closed"]

PARTS = 10
"""Parts of a breaker's period. Older trips are not counted, nor is a fraction of those in the oldest part."""

FRESH = 1.0
"""Seconds for which a standing of a blocking ledger is cached: the longest delay until other processes see an
opening."""

TRIAL = 60.0
"""Seconds after which an unfinished trial makes room for the next."""

_REMEMBERED = 86400.0
_MOST_KNOWN = 1000


class Change(NamedTuple):
    """A change of a breaker's state."""

    breaker: Breaker
    value: str
    state: State


class Trial(NamedTuple):
    """A call that is tried on a half-open breaker."""

    breaker: Breaker
    value: str
    call_id: str
    openings: int
    """The number of openings so far."""
    unclosed: int
    """The number of these openings that are not closed."""


class Verdict(NamedTuple):
    """The decision on a call: the breaker and value that refuse it, or the trials that the call is."""

    refusing: tuple[Breaker, str] | None = None
    trials: tuple[Trial, ...] = ()


_PASSES = Verdict()


class Breakers:
    """All circuit breakers. Thread-safe. They refuse nothing while the ledger does not answer."""

    def __init__(
        self,
        rules: Sequence[Breaker],
        ledger: ResilientLedger,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
    ) -> None:
        """Make the breakers.

        Args:
            rules: The rules of the settings.
            ledger: Where their state is.
            new_id: Returns an id that is unique over all processes that share the ledger.
            monotonic: Returns seconds that only grow, for the cache.

        """
        self._rules = rules
        self._ledger = ledger
        self._new_id = new_id
        self._monotonic = monotonic
        self._fresh = FRESH if ledger.wrapped.blocking else 0.0
        self._known: dict[str, tuple[float, Standing]] = {}

    def check(self, scopes: Mapping[Scope, str], now: float) -> Verdict:
        """Decide on a call before it is sent. `scopes` is its attribution, `now` in epoch seconds."""
        trials: list[Trial] = []
        for breaker, value in self._applicable(scopes):
            state = self._check(breaker, value, now)
            if isinstance(state, Trial):
                trials.append(state)
            elif state != "closed":
                self.abandon(Verdict(trials=tuple(trials)), now)
                return Verdict(refusing=(breaker, value))
        return Verdict(trials=tuple(trials)) if trials else _PASSES

    def trip(self, scopes: Mapping[Scope, str], trip: Trip, now: float, tried: Verdict = _PASSES) -> list[Change]:
        """Count that a call was refused by a budget, or is in a loop. Its trials (`tried`) have failed."""
        self.abandon(tried, now)
        failed = [(trial.breaker, trial.value) for trial in tried.trials]
        return [
            Change(breaker, value, "open")
            for breaker, value in self._applicable(scopes)
            if (breaker.counts(trip) or (breaker, value) in failed) and self._count_trip(breaker, value, now)
        ]

    def continue_loop(self, scopes: Mapping[Scope, str], now: float) -> list[Change]:
        """Note that a call is in a loop that was counted before. That is no second trip, but a half-open breaker opens
        again.
        """
        return [
            Change(breaker, value, "open")
            for breaker, value in self._applicable(scopes)
            if breaker.counts("loops")
            and _state(self._standing(_key(breaker, value), now)) == "half_open"
            and self._count_trip(breaker, value, now)
        ]

    def close_trials(self, verdict: Verdict, now: float) -> list[Change]:
        """Close the breakers whose trial is this call: it was admitted."""
        changes: list[Change] = []
        for trial in verdict.trials:
            key = _key(trial.breaker, trial.value)
            claim = Claim(key=key, limits={}, until=_until(trial.breaker, now))
            # The id names the openings: a process that is late, and closes the same ones again, has no effect.
            self._ledger.settle(f"{key}/closed/{trial.openings}", [claim], {"tool_calls": trial.unclosed}, now)
            self._ledger.release(trial.call_id, now)
            self._known.pop(key, None)
            changes.append(Change(trial.breaker, trial.value, "closed"))
        return changes

    def abandon(self, verdict: Verdict, now: float) -> None:
        """Release the trials of a call that is not sent."""
        for trial in verdict.trials:
            self._ledger.release(trial.call_id, now)

    def _applicable(self, scopes: Mapping[Scope, str]) -> Iterator[tuple[Breaker, str]]:
        for breaker in self._rules:
            value = breaker.value(scopes)
            if value is not None:
                yield breaker, value

    def _standing(self, key: str, now: float) -> Standing | None:
        """Return the standing, cached for `FRESH` seconds if the ledger blocks."""
        if self._fresh:
            at, known = self._known.get(key, (0.0, None))
            if known is not None and self._monotonic() - at < self._fresh:
                return known
        return self._fetch(key, now)

    def _fetch(self, key: str, now: float) -> Standing | None:
        standing = self._ledger.standing(key, now)
        if self._fresh and standing is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._monotonic(), standing
        return standing

    def _check(self, breaker: Breaker, value: str, now: float) -> State | Trial:
        """Return the state. If it is half-open, this call becomes the trial, unless there is one."""
        key = _key(breaker, value)
        for read in (self._standing, self._fetch, self._fetch):
            standing = read(key, now)
            state = _state(standing)
            if standing is None or state != "half_open":
                return state
            spent = standing.spent
            # The standing may be outdated: the trial is reserved only if the breaker was not opened or closed since.
            limits: Amounts = {"tokens": 1, "nano_usd": 0, "calls": spent["calls"], "tool_calls": spent["tool_calls"]}
            trial = Trial(breaker, value, self._new_id(), spent["calls"], _unclosed(standing))
            claim = Claim(key=key, limits=limits, until=_until(breaker, now))
            try:
                refusal = self._ledger.reserve(trial.call_id, [claim], {"tokens": 1}, now, TRIAL)
            except LedgerError:
                return "closed"
            if refusal is None:
                return trial
            if refusal.only_held:
                break
        return "half_open"

    def _count_trip(self, breaker: Breaker, value: str, now: float) -> bool:
        """Count a trip. Return True if it opens the breaker: it is one too many, or the trial has failed."""
        key = _key(breaker, value)
        standing = self._ledger.standing(key, now)
        state = _state(standing)
        if standing is None or state == "open":
            return False
        counted = self._count(breaker, f"trips/{breaker.text}/{standing.spent['tool_calls']}/{value}", now)
        if counted < breaker.times and state == "closed":
            return False
        claim = Claim(key=key, limits={"nano_usd": 1}, until=_until(breaker, now))
        try:
            if self._ledger.reserve(self._new_id(), [claim], {"nano_usd": 1}, now, breaker.open_for) is not None:
                return False  # another call was faster
        except LedgerError:
            return False
        self._ledger.settle(self._new_id(), [claim], {"calls": 1}, now)
        self._known.pop(key, None)
        return True

    def _count(self, breaker: Breaker, key: str, now: float) -> int:
        width = breaker.within / PARTS
        latest = int(now // width)
        one: Amounts = {"calls": 1}
        claim = Claim(key=f"{latest}/{key}", limits={}, until=(latest + 1 + PARTS) * width)
        counted = sum(standing.spent["calls"] for _, standing in self._ledger.settle(self._new_id(), [claim], one, now))
        for part in range(latest - PARTS + 1, latest):
            if counted >= breaker.times:
                break
            earlier = self._ledger.standing(f"{part}/{key}", now)
            counted += earlier.spent["calls"] if earlier is not None else 0
        return counted


def _key(breaker: Breaker, value: str) -> str:
    return f"breaker/{breaker.text}/{value}"


def _until(breaker: Breaker, now: float) -> float:
    return now + breaker.open_for + _REMEMBERED


def _unclosed(standing: Standing) -> int:
    return standing.spent["calls"] - standing.spent["tool_calls"]


def _state(standing: Standing | None) -> State:
    if standing is None:
        return "closed"
    if standing.held["nano_usd"]:
        return "open"
    return "half_open" if _unclosed(standing) > 0 else "closed"
