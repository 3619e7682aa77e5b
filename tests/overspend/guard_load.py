"""Storms on the guard alone, without HTTP: threads, tasks, and what one of several processes does.

A storm's clock goes back and forth, up to 50 seconds, around the edge at which one hour and day end and others begin.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

from otel_agentcost.core import budgets, money
from otel_agentcost.guard import CallFacts, Guard, Policy, Refused, Ticket
from otel_agentcost.guard.ledger import Ledger, Unit
from tests.guard.guards import facts
from tests.overspend.load import EDGE, Spent, dice

AVERAGE = 25_000_000
"""Billionths of a dollar that a call comes to, about: half of what it may take, and it may take 5 cents on average."""


def rules(calls: int) -> str:
    """Budgets of which each is too small for its part of `calls` calls, if all were admitted."""
    usd = Decimal(calls * AVERAGE) / money.NANO_PER_USD
    parts = {
        "total/day": usd * Decimal("0.2"),  # of the two halves in which the edge cuts the storm, each has its own
        "user/hour": usd / 10 * Decimal("0.6"),
        "trace": usd / 8 * Decimal("0.5"),
    }
    written = [f"{scope}:usd={max(amount, Decimal('0.2')):.3f}" for scope, amount in parts.items()]
    return ";".join([*written, f"tenant:tokens={calls * 30},calls={max(8, calls // 3)}"])


class Storm:
    """Calls on one guard, and what they should have come to."""

    def __init__(self, ledger: Ledger, rules: str, seed: int, name: str, wait: float = 2.0) -> None:
        policy = replace(Policy(), wait_seconds=wait)
        self.guard = Guard(budgets.parse(rules), ledger, policy)
        self.seed = seed
        self.name = name
        self.spent: Spent = Counter()
        self.calls = self.admitted = self.refused = 0
        self._lock = threading.Lock()

    def threads(self, number: int, calls: int) -> None:
        """So many calls in each of so many threads."""
        with ThreadPoolExecutor(number) as pool:
            for done in [pool.submit(self._thread, thread, calls) for thread in range(number)]:
                done.result()

    async def tasks(self, number: int, calls: int) -> None:
        """So many calls in each of so many tasks, of which one in eight is cancelled somewhere."""
        draw = dice(self.seed, self.name)
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._task(task, calls)) for task in range(number)]
        for task in tasks:
            if draw.random() < 0.125:
                loop.call_later(draw.random() ** 2 * 0.5, task.cancel)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome

    # --- one of them ---

    def _thread(self, thread: int, calls: int) -> None:
        draw = dice(self.seed, self.name, thread)
        for number in range(calls):
            for again in range(3):  # a framework that tries again on any exception
                answer = self._noted(self.guard.admit(self._facts(draw, f"{thread}-{number}-{again}")))
                if answer is not None:
                    time.sleep(draw.choice((0, draw.random() * 0.002)))
                    self._end(answer, draw)
                    break

    async def _task(self, task: int, calls: int) -> None:
        draw = dice(self.seed, self.name, task)
        for number in range(calls):
            answer = self._noted(await self.guard.admit_async(self._facts(draw, f"{task}-{number}")))
            if answer is None:
                continue
            try:
                await asyncio.sleep(draw.random() * 0.02)
            except asyncio.CancelledError:
                self._settle(answer, None, 0, draw)
                raise
            self._end(answer, draw)

    def _facts(self, draw: random.Random, call: str) -> CallFacts:
        who = {"trace": f"t{draw.randrange(8)}", "user": f"u{draw.randrange(5)}", "tenant": f"o{draw.randrange(2)}"}
        asked = facts(draw.randint(1, 99), now=_clock(draw), **who)
        return replace(asked, call_id=f"{self.name}-{self.seed}-{call}")

    def _noted(self, answer: Ticket | Refused) -> Ticket | None:
        with self._lock:
            self.calls += 1
            self.admitted += isinstance(answer, Ticket)
            self.refused += isinstance(answer, Refused)
        if isinstance(answer, Refused):
            return None
        assert answer.unenforced is None, answer.unenforced
        assert len(answer.counted) == 4
        return answer

    def _end(self, ticket: Ticket, draw: random.Random) -> None:
        """An answer, an error, a connection lost; said once, or twice."""
        chance = draw.random()
        if chance < 0.08:  # it was never sent
            self.guard.release(ticket, _clock(draw))
            return
        if chance < 0.13:  # nobody knows what it cost
            self._settle(ticket, None, draw.randint(0, ticket.reserved["tokens"]), draw)
        else:
            nano = 0 if chance < 0.16 else draw.randint(0, ticket.reserved["nano_usd"])
            self._settle(ticket, nano, draw.randint(0, ticket.reserved["tokens"]), draw)
        if chance > 0.9:
            self.guard.settle(ticket, Decimal(1), 1, _clock(draw))
            self.guard.release(ticket, _clock(draw))
        if chance > 0.95:  # what a process that was cut off from its ledger would say again
            amounts: dict[Unit, int] = {"nano_usd": 10**9, "calls": 1}
            self.guard.ledger.settle(ticket.call_id, [each.claim for each in ticket.counted], amounts, _clock(draw))

    def _settle(self, ticket: Ticket, nano: int | None, tokens: int, draw: random.Random) -> None:
        usd = None if nano is None else money.from_nano(nano)
        self.guard.settle(ticket, usd, tokens, _clock(draw))
        with self._lock:
            for each in ticket.counted:
                self.spent[each.claim.key, "nano_usd"] += nano or 0
                self.spent[each.claim.key, "tokens"] += tokens
                self.spent[each.claim.key, "calls"] += 1


def _clock(draw: random.Random) -> float:
    return EDGE + draw.uniform(-50, 50)
