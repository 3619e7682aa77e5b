"""The decisions: which calls are admitted, wait or are refused, and which limits a settled call has crossed.

`_steps` is one request for admission from beginning to end. It is a generator that yields whatever takes time: asking
the ledger, and waiting. `admit` does both in its thread, `admit_async` without ever blocking the event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import NamedTuple, cast

from otel_agentcost.core import money
from otel_agentcost.core.batch import total
from otel_agentcost.core.budgets import FOREVER, Budget, Scope
from otel_agentcost.diagnostics import complete
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard import both_ends, forks, marks
from otel_agentcost.guard.applicable import Applicable, ApplicableBudgets
from otel_agentcost.guard.both_ends import Confirmed, Made
from otel_agentcost.guard.executor import run_in_thread, submit
from otel_agentcost.guard.ledger import MOST, Amounts, Claim, Ledger, LedgerError, Refusal, Unit
from otel_agentcost.guard.marks import Mark
from otel_agentcost.guard.outcomes import cut_off_error, exceeded, levels, refusing
from otel_agentcost.guard.queue import AnyWaiter, Queues, Waiter, task_waiter
from otel_agentcost.guard.reservation import ONE_CALL, Policy, Request, is_free, reservation_for, without_dollars
from otel_agentcost.guard.resilient_ledger import ResilientLedger
from otel_agentcost.guard.start_times import StartTimes
from otel_agentcost.guard.types import (
    NOTHING_RESERVED,
    CallFacts,
    Counted,
    Level,
    Refused,
    Reservation,
    Ticket,
    fits,
)
from otel_agentcost.telemetry import event_loops

POLL = 0.05
"""Seconds after which the first call of a queue asks again: calls of other processes settle without waking it."""


class _Reserve(NamedTuple):
    call_id: str
    claims: Sequence[Claim]
    amounts: Amounts
    now: float
    lease: float


class _Wait(NamedTuple):
    waiter: AnyWaiter
    seconds: float


_Answer = Refusal | LedgerError | None
_Steps = Generator["_Reserve | _Wait", _Answer, "Ticket | Refused"]
_Outcome = Generator["_Reserve | _Wait", _Answer, "Ticket | Refused | Refusal"]


class Guard:
    """Enforces budgets. One for each process; thread-safe, and usable from any event loop."""

    def __init__(
        self,
        budgets: Iterable[Budget],
        ledger: Ledger,
        policy: Policy | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a guard.

        Args:
            budgets: The rules.
            ledger: Where they are counted.
            policy: The other settings; default `Policy()`.
            monotonic: Returns seconds that only grow. The wall clock is the caller's: `now` is always an argument.

        """
        self.budgets = tuple(budgets)
        self.policy = policy or Policy()
        allowed = "Until it answers, calls are sent without budgets; their cost is counted afterwards."
        refused = "Until it answers, calls with a budget are refused."
        self.ledger = ResilientLedger(ledger, monotonic, allowed if self.policy.ledger_down == "allow" else refused)
        self.nonblocking = not ledger.blocking
        """True if the ledger answers within microseconds."""
        self._monotonic = monotonic
        self._queues = Queues()
        self._applicable = ApplicableBudgets(self.budgets, self.policy, rolling=getattr(ledger, "rolling", False))
        self._start_times = StartTimes()
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    # --- called for each call ---

    def admit(self, facts: CallFacts, *, wait: bool = True) -> Ticket | Refused:
        """Decide if the call may be sent.

        Args:
            facts: The call.
            wait: Block this thread while in-flight calls have reserved what the call lacks, at most
                `policy.wait_seconds`.

        """
        applicable = self._applicable.find(facts, facts.call.model, facts.now)
        if (decided := self._fast_path(facts, applicable)) is not None:
            return decided
        steps = self._steps(facts, applicable, Waiter if wait else None)
        try:
            answer: _Answer = None
            while True:
                step = _next(steps, answer)
                if isinstance(step, (Ticket, Refused)):
                    return step
                if isinstance(step, _Reserve):
                    answer = self._reserve(step)
                elif isinstance(step.waiter, Waiter):
                    step.waiter.wait(step.seconds)
        finally:
            steps.close()

    async def admit_async(self, facts: CallFacts) -> Ticket | Refused:
        """Decide like `admit`, without blocking the event loop."""
        applicable = self._applicable.find(facts, facts.call.model, facts.now)
        if (decided := self._fast_path(facts, applicable)) is not None:
            return decided
        new_waiter = task_waiter()  # None where a coroutine is driven by hand: it is admitted or refused at once
        in_thread = not self.nonblocking and new_waiter is not None
        steps = self._steps(facts, applicable, new_waiter)
        try:
            answer: _Answer = None
            while True:
                step = _next(steps, answer)
                if isinstance(step, (Ticket, Refused)):
                    return step
                if isinstance(step, _Reserve):
                    answer = await self._reserve_in_thread(step) if in_thread else self._reserve(step)
                elif not isinstance(step.waiter, Waiter):
                    await step.waiter.wait(step.seconds)
        finally:
            steps.close()

    def settle(
        self, ticket: Ticket, usd: Decimal | None, tokens: int, now: float, *, answered: bool = True
    ) -> tuple[Level, ...]:
        """Replace the reservation by the real cost. Of an unknown cost (None) only the tokens count. `answered`: the
        call need not be charged by the service that it has sent its mark to.

        Returns:
            The levels of the budgets that the call counts in; nothing for a ticket that is done.

        """
        try:
            if not self._finish(ticket):
                return ()
            nano = 0 if usd is None else min(MOST, max(0, money.to_nano(usd)))
            amounts: dict[Unit, int] = {"nano_usd": nano, "tokens": min(MOST, max(0, tokens)), "calls": 1}
            return self._settle(ticket.call_id, ticket.counted, amounts, now, ticket.mark if answered else None)
        except BaseException:  # of others: the settlement can be repeated, as the ledger counts a call once
            ticket.done = False
            raise

    def release(self, ticket: Ticket, now: float) -> None:
        """Drop the reservation of a call that was not sent."""
        try:
            if self._finish(ticket) and ticket.counted:
                self.ledger.release(ticket.call_id, now)
                self._queues.wake([each.claim for each in ticket.counted])
        except BaseException:  # of others: the release can be repeated
            ticket.done = False
            raise

    def give_back(self, facts: CallFacts) -> None:
        """Drop the reservation of a call whose admission did not come to its end, if there is one."""
        self.ledger.release(facts.call_id, facts.now)
        self._queues.wake([each.claim for each in self.counted(facts, facts.call.model, facts.now)])

    async def left_async(self, facts: CallFacts, *, windows: bool) -> int | None:
        """Return the nano-dollars that the tightest budget of the call leaves, at least 0, without blocking the loop.

        Args:
            facts: The call.
            windows: False to ignore budgets that begin anew after a time.

        Returns:
            None if no budget in dollars refuses calls, or if the ledger does not answer.
        """
        counted = self.counted(facts, facts.call.model, facts.now)
        claims = [each.claim for each in counted if windows or each.budget.window is None]
        claims = [claim for claim in claims if "nano_usd" in claim.limits]

        def left() -> int | None:
            least: int | None = None
            for claim in claims:
                standing = self.ledger.standing(claim.key, facts.now)
                if standing is None:
                    return None
                rest = claim.limits["nano_usd"] - standing.spent["nano_usd"] - standing.held["nano_usd"]
                least = max(0, rest if least is None else min(least, rest))
            return least

        if self.nonblocking or event_loops.running() is None:
            return left()
        return await run_in_thread(left, lambda: None)

    def blocks_here(self) -> bool:
        """Return True if asking the ledger could block the event loop of this thread."""
        return not self.nonblocking and event_loops.running() is not None

    def run_without_blocking(self, action: Callable[[], object]) -> None:
        """Run `action` (a settlement, a release) now, or soon in a thread if it could block an event loop."""
        if self.blocks_here():
            submit(action)
        else:
            action()

    def _finish(self, ticket: Ticket) -> bool:
        with self._lock:
            if ticket.done:
                return False
            ticket.done = True
        return True

    def cut_off(self, ticket: Ticket, facts: CallFacts, output_tokens: int) -> BudgetExceeded:
        """Return the exception for a stream that is closed because it exceeds `ticket.most_output_tokens`."""
        return cut_off_error(ticket, facts, output_tokens)

    def tool_used(self, facts: CallFacts, usd: Decimal | None) -> tuple[Level, ...]:
        """Count a tool call. It is never refused: the next model call is."""
        amounts: dict[Unit, int] = {"nano_usd": min(MOST, money.to_nano(usd)) if usd else 0, "tool_calls": 1}
        return self._settle(facts.call_id, self.counted(facts, facts.call.model, facts.now), amounts, facts.now)

    def adjust(self, facts: CallFacts, usd: Decimal) -> tuple[Level, ...]:
        """Correct the spend in every applicable budget: more dollars, or fewer (negative: a refund). No call is
        counted, and no budget falls below 0. Counts once for each call id.
        """
        amounts: dict[Unit, int] = {"nano_usd": max(-MOST, min(MOST, money.to_nano(usd)))}
        return self._settle(facts.call_id, self.counted(facts, facts.call.model, facts.now), amounts, facts.now)

    def count_lines(
        self, key: str, facts: CallFacts, lines: Mapping[str, Amounts], now: float
    ) -> tuple[frozenset[str], tuple[Level, ...]]:
        """Count the lines of a batch that were not counted before, in the budgets of the batch.

        Args:
            key: The key of the batch in the ledger.
            facts: The batch, with the model that answered the lines.
            lines: The cost of each line by its id.
            now: Epoch seconds.

        Returns:
            The lines that are counted now, and the levels of their budgets.

        Raises:
            LedgerError: The ledger is down. Nothing is counted.
        """
        counted = self.counted(facts, facts.call.model, now)
        claims = [each.claim for each in counted]
        found = self.ledger.ask(lambda ledger: ledger.count_lines(key, claims, lines, now=now))
        if not found.lines:
            return found.lines, ()
        return found.lines, levels(counted, found.standings, total(lines, found.lines), self.policy.soft_limit)

    def end_hold(self, call_id: str, facts: CallFacts, now: float) -> None:
        """Replace the reservation of a batch that is closed by the one call that it was: its lines are counted."""
        self._settle(call_id, self.counted(facts, facts.call.model, now), {"calls": 1}, now)

    def correct(self, ticket: Ticket, usd: Decimal | None, tokens: int, now: float) -> tuple[Level, ...]:
        """Replace the worst case that was counted for a call by its real cost, which was not known then. Counts once.

        Args:
            ticket: The call.
            usd: The real cost in US dollars; None if it is still unknown: the worst case stays.
            tokens: The real tokens.
            now: Epoch seconds.
        """
        counted = ticket.worst_case
        nano = counted.get("nano_usd", 0) if usd is None else min(MOST, max(0, money.to_nano(usd)))
        amounts: dict[Unit, int] = {
            "nano_usd": nano - counted.get("nano_usd", 0),
            "tokens": min(MOST, max(0, tokens)) - counted.get("tokens", 0),
        }
        return self._settle(f"{ticket.call_id} finished", ticket.counted, amounts, now)

    def confirms(self, mark: Mark, taker: str, now: float) -> Confirmed:
        """Return what the ledger knows of `mark`. `taker` is an id of the call that asks."""
        return both_ends.confirmed(self.ledger, mark, taker, now)

    async def confirms_async(self, mark: Mark, taker: str, now: float) -> Confirmed:
        """Do the same as `confirms`, without blocking the event loop."""
        if self.nonblocking or event_loops.running() is None:
            return self.confirms(mark, taker, now)
        undo = partial(both_ends.give_back, self.ledger, mark, taker, now)
        return await run_in_thread(partial(self.confirms, mark, taker, now), undo)

    def unconfirmed(self, mark: Mark, taker: str, now: float) -> None:
        """Let another call be made for `mark`: this one was not answered."""
        self.run_without_blocking(partial(both_ends.give_back, self.ledger, mark, taker, now))

    def count_more(self, call_id: str, counted: Sequence[Counted], made: Made, now: float) -> tuple[Level, ...]:
        """Add what a call has cost where it is counted already, without its dollars. Counts once."""
        return self._settle(f"{call_id} late", tuple(counted), made.amounts, now)

    def begin(self, scope: Scope, value: str, now: float) -> None:
        """Note the start of a trace or run; without this, it starts with its first call."""
        self._start_times.start_of(scope, value, now)

    def ended(self, scope: Scope, value: str) -> None:
        """Note the end of a trace or run. In a shared ledger it may go on in another process."""
        ledger = self.ledger.wrapped
        if not ledger.shared:
            ledger.ended(FOREVER.key(scope, value))

    @property
    def waiting(self) -> int:
        """The number of calls that wait now."""
        return len(self._queues)

    def counted(self, facts: CallFacts, model: str | None, now: float) -> tuple[Counted, ...]:
        """Return the budgets that the call counts in, each with its claim."""
        return self._applicable.find(facts, model, now).counted

    def without_reservation(self, facts: CallFacts, model: str | None) -> Ticket:
        """Return a ticket for a call that is sent regardless of its budgets. It settles like any other."""
        applicable = self._applicable.find(facts, model, facts.now)
        return Ticket(facts.call_id, applicable.counted, NOTHING_RESERVED)

    # --- one request for admission ---

    def _fast_path(self, facts: CallFacts, applicable: Applicable) -> Ticket | Refused | None:
        """Admit in the usual case: no call waits, the ledger does not block, and the call fits by the bound of its
        input. None: `_steps` decides.
        """
        call, policy = facts.call, self.policy
        if not applicable.counted:
            return Ticket(facts.call_id, (), NOTHING_RESERVED)
        if (
            not self.nonblocking
            or facts.token is not None
            or applicable.timed
            or (applicable.clamps and call.max_output_tokens is None)
        ):
            return None
        wanted = reservation_for(facts, call.model, policy) if applicable.measured else ONE_CALL
        unpriced = wanted.unpriced if applicable.dollars else None
        if (unpriced is not None and policy.unpriced == "refuse") or self._queues.busy(applicable.claims) is not None:
            return None
        try:
            lease = facts.lease or policy.lease
            refusal = self.ledger.reserve(facts.call_id, applicable.claims, wanted.amounts, facts.now, lease)
        except LedgerError as error:
            return self._without_ledger(facts, applicable, error)
        if refusal is not None:
            return None
        return Ticket(facts.call_id, applicable.counted, wanted.amounts, wanted, unpriced=unpriced)

    def _steps(self, facts: CallFacts, applicable: Applicable, new_waiter: Callable[[], AnyWaiter] | None) -> _Steps:
        over = self._check_time(facts, applicable.counted) if applicable.timed else ()
        if isinstance(over, Refused):
            return over
        request = Request(facts, self.policy)
        started = self._monotonic()
        may_wait = self.policy.wait_seconds > 0 and new_waiter is not None and facts.patient
        key = self._queue_of(facts, applicable) if may_wait else None
        outcome: Ticket | Refused | Refusal | None = None
        if key is None:
            outcome = yield from self._attempt(request, request.model, facts.now)
        if isinstance(outcome, Refusal) and outcome.only_held:
            key = outcome.key
        if new_waiter is not None and may_wait and key is not None:
            outcome = yield from self._wait(request, key, new_waiter(), started)
        waited = self._monotonic() - started
        if isinstance(outcome, Refusal):
            outcome = yield from self._apply_action(request, outcome, facts.now + waited)
        if isinstance(outcome, Ticket):
            outcome.waited, outcome.over = waited, over
        return cast("Ticket | Refused", outcome)

    def _queue_of(self, facts: CallFacts, applicable: Applicable) -> str | None:
        """Return the key of the queue that the call has to join. A free call waits for no money."""
        key = self._queues.busy(applicable.claims)
        if key is None or not applicable.dollars or not is_free(facts, facts.call.model):
            return key
        return self._queues.busy(claim for claim in without_dollars(applicable.claims) if claim.limits)

    def _wait(self, request: Request, key: str, waiter: AnyWaiter, started: float) -> _Outcome:
        """Wait in the queue of the budget `key` until the call fits, cannot fit any more, or the time is over."""
        try:
            self._queues.join(key, waiter)
            while True:
                waiter.clear()
                elapsed = self._monotonic() - started
                left = self.policy.wait_seconds - elapsed
                if left <= 0 or self._queues.is_first(key, waiter):
                    outcome = yield from self._attempt(request, request.model, request.facts.now + elapsed)
                    if left <= 0 or not isinstance(outcome, Refusal) or not outcome.only_held:
                        return outcome
                    if outcome.key != key:  # another budget has no room now: change to its queue
                        self._queues.leave(key, waiter)
                        key = outcome.key
                        self._queues.join(key, waiter)
                    left = min(POLL, left)
                yield _Wait(waiter, left)
        finally:
            complete(partial(self._queues.leave, key, waiter))

    def _attempt(self, request: Request, model: str | None, now: float, *, clamp: bool = False) -> _Outcome:
        """Ask the ledger: first with the bound of the input, then with its token count if the bound does not fit."""
        facts = request.facts
        applicable = self._applicable.find(facts, model, now)
        count = clamp  # the last attempt, unless the call is clamped at once because it has no output limit
        clamp = clamp or (applicable.clamps and request.unlimited)
        wanted = request.reservation(model, count=count, clamp=clamp) if applicable.measured else ONE_CALL
        unpriced = wanted.unpriced if applicable.dollars else None
        if unpriced is not None and self.policy.unpriced == "refuse":
            return self._without_price(facts, applicable.counted, unpriced)
        outcome = yield from self._reserve_or_less(facts, model, applicable, wanted, now)
        if isinstance(outcome, Refusal) and wanted.by_bound and outcome.unit in ("nano_usd", "tokens"):
            wanted = request.reservation(model, count=True, clamp=clamp)
            outcome = yield from self._reserve_or_less(facts, model, applicable, wanted, now)
        if isinstance(outcome, Ticket):
            outcome.unpriced = unpriced
            if clamp and not fits(wanted.amounts, outcome.reserved):  # lower the output limit to what was reserved
                outcome.max_output_tokens = wanted.fitting_output(outcome.reserved) // max(1, facts.call.choices)
                tightest = outcome.shortfalls[-1]
                counted = refusing(outcome.counted, tightest)
                outcome.fallback_error = exceeded(facts, counted, tightest.unit, tightest)
        return outcome

    def _reserve_or_less(
        self, facts: CallFacts, model: str | None, applicable: Applicable, wanted: Reservation, now: float
    ) -> _Outcome:
        """Reserve what is wanted, or what is left in the units that have less, if that is at least the minimum."""
        amounts = dict(wanted.amounts)
        claims, mark, free = applicable.claims, None, False
        shortfalls: list[Refusal] = []
        if facts.token is not None:
            mark = marks.written(facts.token, marks.kind_of(facts.call.operation), claims)
            claims = (*claims, marks.proof(mark, now + self.policy.lease))
        while True:  # each refusal lowers an amount, and none is lowered below the minimum
            answer = yield _Reserve(facts.call_id, claims, amounts, now, facts.lease or self.policy.lease)
            if answer is None:
                return Ticket(facts.call_id, applicable.counted, amounts, wanted, shortfalls, mark)
            if isinstance(answer, LedgerError):
                return self._without_ledger(facts, applicable, answer)
            if answer.unit == "nano_usd" and not answer.requested and not free and is_free(facts, model):
                free, claims = True, without_dollars(claims)  # more than its limit is spent, and the call adds nothing
                continue
            left = answer.limit - answer.spent - answer.held
            minimum = wanted.minimum.get(answer.unit, 0)
            if left < minimum or left >= amounts.get(answer.unit, 0):
                return replace(answer, requested=minimum)
            amounts[answer.unit] = left
            shortfalls.append(answer)

    def _apply_action(self, request: Request, refusal: Refusal, now: float) -> _Steps:
        """Apply the action of the budget that has no room: another model, a lower output limit, or a refusal."""
        facts = request.facts
        each = refusing(self.counted(facts, request.model, now), refusal)
        action = self.policy.action(each.budget)
        error = exceeded(facts, each, refusal.unit, refusal)
        if action == "downgrade":
            tried = {request.model}
            model = self.policy.downgrade.get(request.model or "")
            while model is not None and model not in tried:
                tried.add(model)
                dollars = self._applicable.find(facts, model, now).dollars
                if not dollars or request.reservation(model).unpriced is None:  # else the budget could not enforce it
                    outcome = yield from self._attempt(request, model, now)
                    if isinstance(outcome, Ticket):
                        outcome.model, outcome.fallback_error = model, error
                    if not isinstance(outcome, Refusal):
                        return outcome
                model = self.policy.downgrade.get(model)
        elif action == "clamp" and refusal.unit in ("nano_usd", "tokens"):
            outcome = yield from self._attempt(request, request.model, now, clamp=True)
            if isinstance(outcome, Ticket):
                outcome.fallback_error = error
            if not isinstance(outcome, Refusal):
                return outcome
            refusal = outcome
            each = refusing(self.counted(facts, request.model, now), refusal)
            error = exceeded(facts, each, refusal.unit, refusal)
        return Refused(action=action, error=error, only_held=refusal.only_held)

    # --- the ledger ---

    def _reserve(self, step: _Reserve) -> Refusal | LedgerError | None:
        try:
            return self.ledger.reserve(step.call_id, step.claims, step.amounts, step.now, step.lease)
        except LedgerError as error:
            return error

    async def _reserve_in_thread(self, step: _Reserve) -> Refusal | LedgerError | None:
        """Ask a blocking ledger in a thread. If the task is cancelled meanwhile, nothing stays reserved."""
        return await run_in_thread(partial(self._reserve, step), partial(self._give_back, step))

    def _give_back(self, step: _Reserve) -> None:
        self.ledger.release(step.call_id, step.now)
        self._queues.wake(step.claims)

    def _without_ledger(self, facts: CallFacts, applicable: Applicable, why: LedgerError) -> Ticket | Refused:
        limits: list[tuple[Counted, Unit]] = [(each, unit) for each in applicable.counted for unit in each.claim.limits]
        if self.policy.ledger_down == "refuse" and applicable.dollars and is_free(facts, facts.call.model):
            limits = [(each, unit) for each, unit in limits if unit != "nano_usd"]
        if self.policy.ledger_down == "allow" or not limits:
            return Ticket(facts.call_id, applicable.counted, NOTHING_RESERVED, unenforced=str(why))
        limiting, unit = limits[0]
        return Refused(action="block", error=exceeded(facts, limiting, unit, None, ledger=str(why)))

    def _without_price(self, facts: CallFacts, counted: tuple[Counted, ...], why: str) -> Refused:
        limiting = next(each for each in counted if "nano_usd" in each.claim.limits)
        return Refused(action="block", error=exceeded(facts, limiting, "nano_usd", None, unpriced=why))

    def _settle(
        self, call_id: str, counted: tuple[Counted, ...], amounts: Amounts, now: float, mark: str | None = None
    ) -> tuple[Level, ...]:
        if not counted:
            return ()
        claims = [each.claim for each in counted]
        if mark is not None:
            claims.append(both_ends.charging(mark, now))
        # No cost must stay half counted, and the ledger counts a call once.
        standings = complete(partial(self.ledger.settle, call_id, claims, amounts, now))
        self._queues.wake(claims)
        return levels(counted, standings, amounts, self.policy.soft_limit)

    # --- time ---

    def _check_time(self, facts: CallFacts, counted: tuple[Counted, ...]) -> Refused | tuple[Level, ...]:
        """Refuse a call of a trace that exceeds its seconds. Exceeded budgets that only warn are returned."""
        over: list[Level] = []
        for each in counted:
            limit = each.budget.limits.get("seconds")
            if limit is None:
                continue
            passed = int(facts.now - self._start_times.start_of(each.budget.scope, each.value, facts.now))
            if passed < limit:
                continue
            if self.policy.action(each.budget) == "warn":
                if self._start_times.is_first_report(each.budget.text, each.value):
                    over.append(Level(each.budget, each.value, "seconds", passed, limit, "limit"))
                continue
            figures = Refusal(key="", unit="calls", limit=limit, spent=passed, held=0, requested=0)
            return Refused(action="block", error=exceeded(facts, each, "seconds", figures))
        return tuple(over)


def _next(steps: _Steps, answer: _Answer) -> _Reserve | _Wait | Ticket | Refused:
    """Return the next step, or the decision."""
    try:
        return steps.send(answer)
    except StopIteration as end:
        decided: Ticket | Refused = end.value
        return decided
