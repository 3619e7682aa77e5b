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
from otel_agentcost.guard.ledger import Amounts, Claim, LedgerError, Standing
from otel_agentcost.guard.resilient_ledger import Keeper

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
    """How often it was opened so far."""
    unclosed: int
    """How many of these openings are not closed."""


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
        self._fresh = FRESH if keeper.ledger.blocking else 0.0
        self._known: dict[str, tuple[float, Standing]] = {}

    def ask(self, scopes: Mapping[Scope, str], now: float) -> Verdict:
        """Before a call: may it be made?"""
        trials: list[Trial] = []
        for breaker, value in self._applying(scopes):
            found = self._asked(breaker, value, now)
            if isinstance(found, Trial):
                trials.append(found)
            elif found != "closed":
                self.given_up(Verdict(trials=tuple(trials)), now)
                return Verdict(refusing=(breaker, value))
        return Verdict(trials=tuple(trials)) if trials else _PASSES

    def tripped(self, scopes: Mapping[Scope, str], trip: Trip, now: float, tried: Verdict = _PASSES) -> list[Change]:
        """A call was refused by a budget, or is in a loop; what it was `tried` for is not made."""
        self.given_up(tried, now)
        failed = [(trial.breaker, trial.value) for trial in tried.trials]
        return [
            Change(breaker, value, "open")
            for breaker, value in self._applying(scopes)
            if (breaker.counts(trip) or (breaker, value) in failed) and self._opens(breaker, value, now)
        ]

    def looping_on(self, scopes: Mapping[Scope, str], now: float) -> list[Change]:
        """A call is in a loop that has been counted: that is no second trip, but nothing to close a breaker for."""
        return [
            Change(breaker, value, "open")
            for breaker, value in self._applying(scopes)
            if breaker.counts("loops")
            and _state(self._standing(_key(breaker, value), now)) == "half_open"
            and self._opens(breaker, value, now)
        ]

    def admitted(self, verdict: Verdict, now: float) -> list[Change]:
        """The call that was asked for is made: what it was the trial of is closed."""
        changes: list[Change] = []
        for trial in verdict.trials:
            key = _key(trial.breaker, trial.value)
            claim = Claim(key=key, limits={}, until=_until(trial.breaker, now))
            # By its own name: who was late, and closes the same openings once more, closes nothing.
            self._keeper.settle(f"{key}/closed/{trial.openings}", [claim], {"tool_calls": trial.unclosed}, now)
            self._keeper.release(trial.call_id, now)
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
        """As it is, or was a moment ago."""
        if self._fresh:
            at, known = self._known.get(key, (0.0, None))
            if known is not None and self._monotonic() - at < self._fresh:
                return known
        return self._look(key, now)

    def _look(self, key: str, now: float) -> Standing | None:
        found = self._keeper.standing(key, now)
        if self._fresh and found is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._monotonic(), found
        return found

    def _asked(self, breaker: Breaker, value: str, now: float) -> State | Trial:
        """How it stands; where it is half-open, this call is the trial, unless there is one."""
        key = _key(breaker, value)
        for look in (self._standing, self._look, self._look):
            standing = look(key, now)
            state = _state(standing)
            if standing is None or state != "half_open":
                return state
            spent = standing.spent
            # What was seen may be over: the trial is held only if nobody has opened or closed it since.
            limits: Amounts = {"tokens": 1, "nano_usd": 0, "calls": spent["calls"], "tool_calls": spent["tool_calls"]}
            trial = Trial(breaker, value, self._new_id(), spent["calls"], _unclosed(standing))
            claim = Claim(key=key, limits=limits, until=_until(breaker, now))
            try:
                refusal = self._keeper.reserve(trial.call_id, [claim], {"tokens": 1}, now, TRIAL)
            except LedgerError:
                return "closed"
            if refusal is None:
                return trial
            if refusal.only_held:
                break
        return "half_open"

    def _opens(self, breaker: Breaker, value: str, now: float) -> bool:
        """Counts one more, and opens the breaker if that is one too many, or was the trial."""
        key = _key(breaker, value)
        standing = self._keeper.standing(key, now)
        state = _state(standing)
        if standing is None or state == "open":
            return False
        counted = self._count(breaker, f"trips/{breaker.text}/{standing.spent['tool_calls']}/{value}", now)
        if counted < breaker.times and state == "closed":
            return False
        claim = Claim(key=key, limits={"nano_usd": 1}, until=_until(breaker, now))
        try:
            if self._keeper.reserve(self._new_id(), [claim], {"nano_usd": 1}, now, breaker.open_for) is not None:
                return False  # somebody else was faster
        except LedgerError:
            return False
        self._keeper.settle(self._new_id(), [claim], {"calls": 1}, now)
        self._known.pop(key, None)
        return True

    def _count(self, breaker: Breaker, key: str, now: float) -> int:
        width = breaker.within / PARTS
        latest = int(now // width)
        one: Amounts = {"calls": 1}
        claim = Claim(key=f"{latest}/{key}", limits={}, until=(latest + 1 + PARTS) * width)
        counted = sum(standing.spent["calls"] for _, standing in self._keeper.settle(self._new_id(), [claim], one, now))
        for part in range(latest - PARTS + 1, latest):
            if counted >= breaker.times:
                break
            earlier = self._keeper.standing(f"{part}/{key}", now)
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
