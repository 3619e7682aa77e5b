"""The decisions: who is admitted, who waits, who is refused, and what a settled call has crossed.

`_steps` is the life of one request for admission. It is written once, as a generator that yields what takes time (the
ledger, a wait); `admit` does that in its thread, `admit_async` without ever blocking the event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import NamedTuple, cast

from otel_agentcost.core import money
from otel_agentcost.core.budgets import FOREVER, Budget, Scope
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard.applicable import Applied, Applying
from otel_agentcost.guard.executor import aside, later
from otel_agentcost.guard.ledger import MOST, Amounts, Claim, Ledger, LedgerError, Refusal, Unit
from otel_agentcost.guard.outcomes import exceeded, levels, outrun, refusing
from otel_agentcost.guard.queue import AnyWaiter, Queues, TaskWaiter, Waiter
from otel_agentcost.guard.reservation import JUST_A_CALL, Policy, Request, ask_for
from otel_agentcost.guard.resilient_ledger import Keeper
from otel_agentcost.guard.start_times import Beginnings
from otel_agentcost.guard.types import NOTHING_HELD, Ask, CallFacts, Counted, Level, Refused, Ticket, fits

POLL = 0.05
"""Seconds after which the first of a queue looks by itself: calls of other processes settle without waking it."""


class _Reserve(NamedTuple):
    call_id: str
    claims: Sequence[Claim]
    amounts: Amounts
    now: float


class _Wait(NamedTuple):
    waiter: AnyWaiter
    seconds: float


_Answer = Refusal | LedgerError | None
_Steps = Generator["_Reserve | _Wait", _Answer, "Ticket | Refused"]
_Outcome = Generator["_Reserve | _Wait", _Answer, "Ticket | Refused | Refusal"]


class Guard:
    """Holds calls to budgets. One a process; used from any thread and any event loop."""

    def __init__(
        self,
        budgets: Iterable[Budget],
        ledger: Ledger,
        policy: Policy | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monotonic` returns seconds that only grow. The wall clock is the caller's: `now` is always an argument."""
        self.budgets = tuple(budgets)
        self.policy = policy or Policy()
        allowed = "Until it answers, calls are sent without budgets; their cost is counted afterwards."
        refused = "Until it answers, calls with a budget are refused."
        self.keeper = Keeper(ledger, monotonic, allowed if self.policy.ledger_down == "allow" else refused)
        self.quick = not ledger.blocking
        """Whether the ledger answers within microseconds."""
        self._monotonic = monotonic
        self._queues = Queues()
        self._applying = Applying(self.budgets, self.policy)
        self._began = Beginnings()
        self._lock = threading.Lock()

    # --- asked by the line ---

    def admit(self, facts: CallFacts, *, patient: bool = True) -> Ticket | Refused:
        """Whether the call may be made. Blocks this thread while it waits, if it is `patient`."""
        applied = self._applying.to(facts, facts.call.model, facts.now)
        if (at_once := self._at_once(facts, applied)) is not None:
            return at_once
        with closing(self._steps(facts, applied, Waiter if patient else None)) as steps:
            answer: _Answer = None
            while True:
                step = _next(steps, answer)
                if isinstance(step, (Ticket, Refused)):
                    return step
                if isinstance(step, _Reserve):
                    answer = self._reserve(step)
                elif isinstance(step.waiter, Waiter):
                    step.waiter.wait(step.seconds)

    async def admit_async(self, facts: CallFacts) -> Ticket | Refused:
        """Whether the call may be made. The event loop runs on while it waits."""
        applied = self._applying.to(facts, facts.call.model, facts.now)
        if (at_once := self._at_once(facts, applied)) is not None:
            return at_once
        slow = not self.quick and _in_asyncio()
        # Other kinds of event loops have no such events: there a call is admitted or refused at once.
        with closing(self._steps(facts, applied, TaskWaiter if _in_asyncio() else None)) as steps:
            answer: _Answer = None
            while True:
                step = _next(steps, answer)
                if isinstance(step, (Ticket, Refused)):
                    return step
                if isinstance(step, _Reserve):
                    answer = await self._reserve_aside(step) if slow else self._reserve(step)
                elif isinstance(step.waiter, TaskWaiter):
                    await step.waiter.wait(step.seconds)

    def settle(self, ticket: Ticket, usd: Decimal | None, tokens: int, now: float) -> tuple[Level, ...]:
        """Says what the call took; without dollars, only its tokens count. Returns how its budgets stand now."""
        if not self._finish(ticket):
            return ()
        nano = 0 if usd is None else min(MOST, max(0, money.to_nano(usd)))
        amounts: dict[Unit, int] = {"nano_usd": nano, "tokens": min(MOST, max(0, tokens)), "calls": 1}
        return self._settle(ticket.call_id, ticket.counted, amounts, now)

    def release(self, ticket: Ticket, now: float) -> None:
        """Says that the call was not made after all."""
        if self._finish(ticket) and ticket.counted:
            self.keeper.release(ticket.call_id, now)
            self._queues.wake([each.claim for each in ticket.counted])

    def without_delay(self, act: Callable[[], object]) -> None:
        """Does `act` (a settlement, a release) now; where that would hold up an event loop, soon and in a thread."""
        if self.quick or not _in_asyncio():
            act()
        else:
            later(act)

    def _finish(self, ticket: Ticket) -> bool:
        with self._lock:
            if ticket.done:
                return False
            ticket.done = True
        return True

    def outrun(self, ticket: Ticket, facts: CallFacts, output_tokens: int) -> BudgetExceeded:
        """What to raise where a stream is closed because it has come to more than `ticket.most_output_tokens`."""
        return outrun(ticket, facts, output_tokens)

    def tool_used(self, facts: CallFacts, usd: Decimal | None) -> tuple[Level, ...]:
        """Counts a call of a tool, which is never refused: the next model call is."""
        amounts: dict[Unit, int] = {"nano_usd": min(MOST, money.to_nano(usd)) if usd else 0, "tool_calls": 1}
        return self._settle(facts.call_id, self.counted(facts, facts.call.model, facts.now), amounts, facts.now)

    def adjust(self, facts: CallFacts, usd: Decimal) -> tuple[Level, ...]:
        """Corrects what was spent in every budget that applies: more dollars, or fewer (negative: a refund). It counts
        no call. No budget falls below 0. The call id makes it count once.
        """
        amounts: dict[Unit, int] = {"nano_usd": max(-MOST, min(MOST, money.to_nano(usd)))}
        return self._settle(facts.call_id, self.counted(facts, facts.call.model, facts.now), amounts, facts.now)

    def begin(self, scope: Scope, value: str, now: float) -> None:
        """The trace or run has begun; without this, it begins with its first call."""
        self._began.first(scope, value, now)

    def ended(self, scope: Scope, value: str) -> None:
        """The trace or run has ended. A ledger that others share is not told: it may go on elsewhere."""
        ledger = self.keeper.ledger
        if not ledger.shared:
            ledger.ended(FOREVER.key(scope, value))

    @property
    def waiting(self) -> int:
        """How many calls wait just now."""
        return len(self._queues)

    def counted(self, facts: CallFacts, model: str | None, now: float) -> tuple[Counted, ...]:
        """The budgets that the call counts in, each with its claim."""
        return self._applying.to(facts, model, now).counted

    def unasked(self, facts: CallFacts, model: str | None) -> Ticket:
        """For a call that is made whatever the budgets say. It holds nothing, and settles like any other."""
        applied = self._applying.to(facts, model, facts.now)
        return Ticket(facts.call_id, applied.counted, NOTHING_HELD)

    # --- the life of a request for admission ---

    def _at_once(self, facts: CallFacts, applied: Applied) -> Ticket | Refused | None:
        """The usual case, without ceremony: nobody waits, and the call fits by the bound of its input. None: the steps
        below are to decide. Only for a ledger that answers within microseconds.
        """
        call, policy = facts.call, self.policy
        if not applied.counted:
            return Ticket(facts.call_id, (), NOTHING_HELD)
        if not self.quick or applied.timed or (applied.clamps and call.max_output_tokens is None):
            return None
        ask = ask_for(facts, call.model, policy) if applied.measured else JUST_A_CALL
        unpriced = ask.unpriced if applied.dollars else None
        if (unpriced is not None and policy.unpriced == "refuse") or self._queues.busy(applied.claims) is not None:
            return None
        try:
            refusal = self.keeper.reserve(facts.call_id, applied.claims, ask.wanted, facts.now, policy.lease)
        except LedgerError as error:
            return self._without_ledger(facts, applied, error)
        if refusal is not None:
            return None
        return Ticket(facts.call_id, applied.counted, ask.wanted, ask, unpriced=unpriced)

    def _steps(self, facts: CallFacts, applied: Applied, new_waiter: Callable[[], AnyWaiter] | None) -> _Steps:
        over = self._out_of_time(facts, applied.counted) if applied.timed else ()
        if isinstance(over, Refused):
            return over
        request = Request(facts, self.policy)
        started = self._monotonic()
        patient = self.policy.wait_seconds > 0 and new_waiter is not None
        behind = self._queues.busy(applied.claims) if patient else None
        outcome: Ticket | Refused | Refusal | None = None
        if behind is None:
            outcome = yield from self._attempt(request, request.model, facts.now)
        if isinstance(outcome, Refusal) and outcome.only_held:
            behind = outcome.key
        if new_waiter is not None and patient and behind is not None:
            outcome = yield from self._wait(request, behind, new_waiter(), started)
        waited = self._monotonic() - started
        if isinstance(outcome, Refusal):
            outcome = yield from self._instead(request, outcome, facts.now + waited)
        if isinstance(outcome, Ticket):
            outcome.waited, outcome.over = waited, over
        return cast("Ticket | Refused", outcome)

    def _wait(self, request: Request, key: str, waiter: AnyWaiter, started: float) -> _Outcome:
        """Waits in line until the call fits, or cannot fit any more, or the time is over."""
        self._queues.join(key, waiter)
        try:
            while True:
                waiter.clear()
                elapsed = self._monotonic() - started
                left = self.policy.wait_seconds - elapsed
                if left <= 0 or self._queues.is_first(key, waiter):
                    outcome = yield from self._attempt(request, request.model, request.facts.now + elapsed)
                    if left <= 0 or not isinstance(outcome, Refusal) or not outcome.only_held:
                        return outcome
                    if outcome.key != key:  # another budget is in the way now: its queue is the one to stand in
                        self._queues.leave(key, waiter)
                        key = outcome.key
                        self._queues.join(key, waiter)
                    left = min(POLL, left)
                yield _Wait(waiter, left)
        finally:
            self._queues.leave(key, waiter)

    def _attempt(self, request: Request, model: str | None, now: float, *, clamp: bool = False) -> _Outcome:
        """Asks the ledger once over: by the bound of the input first, and by its count where that does not fit."""
        facts = request.facts
        applied = self._applying.to(facts, model, now)
        last = clamp  # or a call without any output limit, which would hold the rest: it is given one at once
        clamp = clamp or (applied.clamps and request.unlimited)
        ask = request.ask(model, count=last, clamp=clamp) if applied.measured else JUST_A_CALL
        unpriced = ask.unpriced if applied.dollars else None
        if unpriced is not None and self.policy.unpriced == "refuse":
            return self._without_price(facts, applied.counted, unpriced)
        outcome = yield from self._hold(facts, applied, ask, now)
        if isinstance(outcome, Refusal) and ask.by_bound and outcome.unit in ("nano_usd", "tokens"):
            ask = request.ask(model, count=True, clamp=clamp)
            outcome = yield from self._hold(facts, applied, ask, now)
        if isinstance(outcome, Ticket):
            outcome.unpriced = unpriced
            if clamp and not fits(ask.wanted, outcome.held):  # lowers the output limit to what was got
                outcome.max_output_tokens = ask.fitting_output(outcome.held) // max(1, facts.call.choices)
                tightest = outcome.tight[-1]
                outcome.instead = exceeded(facts, refusing(outcome.counted, tightest), tightest.unit, tightest)
        return outcome

    def _hold(self, facts: CallFacts, applied: Applied, ask: Ask, now: float) -> _Outcome:
        """Holds what is wanted, or, in the units that have not so much, what is left, if the least fits."""
        amounts = dict(ask.wanted)
        tight: list[Refusal] = []
        while True:  # each refusal lowers a figure, and none is lowered below the least
            answer = yield _Reserve(facts.call_id, applied.claims, amounts, now)
            if answer is None:
                return Ticket(facts.call_id, applied.counted, amounts, ask, tight)
            if isinstance(answer, LedgerError):
                return self._without_ledger(facts, applied, answer)
            left = answer.limit - answer.spent - answer.held
            least = ask.least.get(answer.unit, 0)
            if left < least or left >= amounts.get(answer.unit, 0):
                return replace(answer, requested=least)
            amounts[answer.unit] = left
            tight.append(answer)

    def _instead(self, request: Request, refusal: Refusal, now: float) -> _Steps:
        """What the budget that refuses says is to be done: another model, a shorter answer, or nothing."""
        facts = request.facts
        each = refusing(self.counted(facts, request.model, now), refusal)
        action = self.policy.action(each.budget)
        error = exceeded(facts, each, refusal.unit, refusal)
        if action == "downgrade":
            tried = {request.model}
            model = self.policy.downgrade.get(request.model or "")
            while model is not None and model not in tried:
                tried.add(model)
                dollars = self._applying.to(facts, model, now).dollars
                if not dollars or request.ask(model).unpriced is None:  # else the budget could not hold it
                    outcome = yield from self._attempt(request, model, now)
                    if isinstance(outcome, Ticket):
                        outcome.model, outcome.instead = model, error
                    if not isinstance(outcome, Refusal):
                        return outcome
                model = self.policy.downgrade.get(model)
        elif action == "clamp" and refusal.unit in ("nano_usd", "tokens"):
            outcome = yield from self._attempt(request, request.model, now, clamp=True)
            if isinstance(outcome, Ticket):
                outcome.instead = error
            if not isinstance(outcome, Refusal):
                return outcome
            refusal = outcome
            each = refusing(self.counted(facts, request.model, now), refusal)
            error = exceeded(facts, each, refusal.unit, refusal)
        return Refused(action=action, error=error, only_held=refusal.only_held)

    # --- what the ledger says ---

    def _reserve(self, step: _Reserve) -> Refusal | LedgerError | None:
        try:
            return self.keeper.reserve(step.call_id, step.claims, step.amounts, step.now, self.policy.lease)
        except LedgerError as error:
            return error

    async def _reserve_aside(self, step: _Reserve) -> Refusal | LedgerError | None:
        """Asks a ledger that takes its time in a thread. If the task is cancelled meanwhile, nothing stays held."""
        return await aside(partial(self._reserve, step), partial(self._give_back, step))

    def _give_back(self, step: _Reserve) -> None:
        self.keeper.release(step.call_id, step.now)
        self._queues.wake(step.claims)

    def _without_ledger(self, facts: CallFacts, applied: Applied, why: LedgerError) -> Ticket | Refused:
        limiting = next((each for each in applied.counted if each.claim.limits), None)
        if self.policy.ledger_down == "allow" or limiting is None:
            return Ticket(facts.call_id, applied.counted, NOTHING_HELD, unenforced=str(why))
        return Refused(
            action="block", error=exceeded(facts, limiting, next(iter(limiting.claim.limits)), None, ledger=str(why))
        )

    def _without_price(self, facts: CallFacts, counted: tuple[Counted, ...], why: str) -> Refused:
        limiting = next(each for each in counted if "nano_usd" in each.claim.limits)
        return Refused(action="block", error=exceeded(facts, limiting, "nano_usd", None, unpriced=why))

    def _settle(self, call_id: str, counted: tuple[Counted, ...], amounts: Amounts, now: float) -> tuple[Level, ...]:
        if not counted:
            return ()
        claims = [each.claim for each in counted]
        standings = self.keeper.settle(call_id, claims, amounts, now)
        self._queues.wake(claims)
        return levels(counted, standings, amounts, self.policy.soft_limit)

    # --- time ---

    def _out_of_time(self, facts: CallFacts, counted: tuple[Counted, ...]) -> Refused | tuple[Level, ...]:
        """Whether a trace has taken longer than it may; budgets that only warn are returned."""
        over: list[Level] = []
        for each in counted:
            limit = each.budget.limits.get("seconds")
            if limit is None:
                continue
            passed = int(facts.now - self._began.first(each.budget.scope, each.value, facts.now))
            if passed < limit:
                continue
            if self.policy.action(each.budget) == "warn":
                if self._began.is_news(each.budget.text, each.value):
                    over.append(Level(each.budget, each.value, "seconds", passed, limit, "limit"))
                continue
            figures = Refusal(key="", unit="calls", limit=limit, spent=passed, held=0, requested=0)
            return Refused(action="block", error=exceeded(facts, each, "seconds", figures))
        return tuple(over)


def _next(steps: _Steps, answer: _Answer) -> _Reserve | _Wait | Ticket | Refused:
    """What the steps ask for next, or what they have come to."""
    try:
        return steps.send(answer)
    except StopIteration as end:
        decided: Ticket | Refused = end.value
        return decided


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
