"""The accounts of the ledger of one process, and the amounts of calls that are held and spent in them.

An account has its amounts of all units in one integer, each unit in its own bits: one addition changes them all. Each
account is changed without a call in between, together with the note of how many are (see `memory`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from otel_agentcost.guard.ledger import (
    UNITS,
    Amounts,
    Claim,
    Refusal,
    Standing,
    Unit,
    free_again,
    freed,
    outdated,
    refusals,
    slice_end,
    slice_to_spend,
)

_WIDTH = 128
"""Bits of a unit. No call has more of it than `MOST`, less than 2 ** 60, so that no sum reaches the next unit."""
FIELD = (1 << _WIDTH) - 1
"""The bits of the first unit."""
SHIFTS: dict[Unit, int] = {unit: position * _WIDTH for position, unit in enumerate(UNITS)}
"""By how many bits each unit is shifted."""
_, _TOKENS, _CALLS, _TOOL_CALLS = SHIFTS.values()


def pack(amounts: Amounts) -> int:
    """Return `amounts`, none of which is negative, in one integer."""
    get = amounts.get
    return (
        get("nano_usd", 0)
        | get("tokens", 0) << _TOKENS
        | get("calls", 0) << _CALLS
        | get("tool_calls", 0) << _TOOL_CALLS
    )


def unpack(packed: int) -> dict[Unit, int]:
    """Return the amount of each unit."""
    return {
        "nano_usd": packed & FIELD,
        "tokens": packed >> _TOKENS & FIELD,
        "calls": packed >> _CALLS & FIELD,
        "tool_calls": packed >> _TOOL_CALLS,
    }


class Account:
    """The amounts of a key."""

    __slots__ = ("all_held", "all_spent", "until")

    def __init__(self) -> None:
        self.all_spent = self.all_held = 0
        """Packed."""
        self.until = 0.0

    @property
    def spent(self) -> dict[Unit, int]:
        """The settled amounts."""
        return unpack(self.all_spent)

    @property
    def held(self) -> dict[Unit, int]:
        """The amounts that in-flight calls have reserved."""
        return unpack(self.all_held)

    def standing(self, spent: int, expired: Sequence[int]) -> Standing:
        """Return the standing with so much spent, without the amounts of expired reservations."""
        return Standing(unpack(spent), unpack(self.all_held - sum(expired)))

    def refusals(self, claim: Claim, amounts: Amounts, now: float) -> list[Refusal]:  # noqa: ARG002 (for rolling ones)
        """Return why a claim on this account has no room for `amounts`; nothing if it has."""
        return refusals(claim, self.spent, self.held, amounts)


NEW = Account()
"""The amounts of an unknown key. Never changed."""

_Slice = tuple[int, int]
"""The end of a slice, and what was spent in it, packed."""


class View(NamedTuple):
    """The part of a rolling window that a clock sees."""

    spent: int
    """The sum of the slices that count, packed."""
    since: float
    """Clocks see the same from here on."""
    to: float
    """Until here."""
    behind: float | None
    """See `freed`."""


NOTHING_SEEN = View(0, math.inf, -math.inf, None)


class RollingAccount(Account):
    """The amounts of a key with a rolling window. `all_spent` is the sum of the slices that count in the last view.

    View and slices are never changed but replaced, without a call in between.
    """

    __slots__ = ("seen", "slices", "window")

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.slices: tuple[_Slice, ...] = ()
        """The oldest first, also some that are old: a clock that is ahead must not delete what counts for others."""
        self.seen = NOTHING_SEEN

    def age(self, now: float) -> None:
        """Count the slices that are not older than the window."""
        seen = self.seen
        if not seen.since <= now < seen.to:
            seen = self.view(self.slices, seen.behind, now)
            # No call from here on: nothing interrupts it.
            self.seen = seen
            self.all_spent = seen.spent

    def view(self, slices: Sequence[_Slice], behind: float | None, now: float) -> View:
        """Return what a clock sees. Nothing is changed."""
        window = self.window
        counted, behind = freed(window, [end for end, _ in slices], behind, now)
        spent = _sum([each for each in slices if each[0] in counted])
        if behind is not None:
            return View(spent, math.inf, -math.inf, behind)  # the next clock has to look again
        old = max([float(end + window) for end, _ in slices if end not in counted], default=-math.inf)
        newest = float(slices[-1][0] - window) if slices else -math.inf
        return View(spent, max(old, newest), min(counted.values(), default=math.inf), None)

    def after(self, amounts: int, now: float) -> tuple[View, tuple[_Slice, ...], float]:
        """Return view, slices and end of the account after more was spent. They are not changed."""
        seen, slices, end = self.seen, self.slices, slice_end(self.window, now)
        until = max(self.until, float(end + self.window))
        if slices and slices[-1][0] == end and seen.since <= now < seen.to:  # nearly always
            return seen._replace(spent=seen.spent + amounts), (*slices[:-1], (end, slices[-1][1] + amounts)), until
        return self._look(amounts, now)

    def _look(self, amounts: int, now: float) -> tuple[View, tuple[_Slice, ...], float]:
        by_end = dict(self.slices)
        counted, behind = freed(self.window, by_end, self.seen.behind, now)
        end = slice_to_spend(self.window, by_end, now)
        by_end[end] = by_end.get(end, 0) + amounts
        for old in outdated(by_end, [*counted, end]):
            del by_end[old]
        slices = tuple(sorted(by_end.items()))
        return self.view(slices, behind, now), slices, max(self.until, float(end + self.window))

    def after_refund(self, amounts: Amounts, now: float) -> tuple[View, tuple[_Slice, ...], float]:
        """Return the same after amounts of which some are negative: those are taken from the oldest slices."""
        seen, slices, until = self._look(pack({unit: max(0, amount) for unit, amount in amounts.items()}), now)
        counted, _ = freed(self.window, [end for end, _ in slices], seen.behind, now)
        left: dict[Unit, int] = {unit: max(0, -amounts.get(unit, 0)) for unit in UNITS}
        kept: list[_Slice] = []
        for end, spent in slices:
            taken: dict[Unit, int] = {
                unit: min(left[unit], amount) if end in counted else 0 for unit, amount in unpack(spent).items()
            }
            left = {unit: left[unit] - taken[unit] for unit in UNITS}
            kept.append((end, spent - pack(taken)))
        return self.view(kept, seen.behind, now), tuple(kept), until

    def refusals(self, claim: Claim, amounts: Amounts, now: float) -> list[Refusal]:
        """Return the refusals with the times at which there is room, if nothing more is spent."""
        counted, _ = freed(self.window, [end for end, _ in self.slices], self.seen.behind, now)
        return [
            replace(each, free_at=free_again(each, self._amounts(counted, each.unit)))
            for each in super().refusals(claim, amounts, now)
        ]

    def _amounts(self, counted: dict[int, float], unit: Unit) -> list[tuple[float, int]]:
        return [(counted[end], unpack(spent)[unit]) for end, spent in self.slices if end in counted]


def _sum(slices: Sequence[_Slice]) -> int:
    return sum(spent for _, spent in slices)


class Hold:
    """The reservation of an in-flight call, and the number of accounts that hold it."""

    __slots__ = ("accounts", "added", "amounts", "claims", "expires", "whole")

    def __init__(self, claims: tuple[Claim, ...], accounts: list[Account], amounts: int, expires: float) -> None:
        self.claims = claims
        self.accounts = accounts
        self.amounts = amounts
        self.expires = expires
        self.added = 0
        self.whole = False
        """True from when all accounts hold the amounts until they are given back: `settle` may then be called."""

    def take(self) -> None:
        """Hold the amounts in each account that does not hold them yet."""
        while self.added < len(self.accounts):
            account = self.accounts[self.added]
            # No call from here on: nothing interrupts this account.
            account.all_held += self.amounts
            self.added += 1
        self.whole = True

    def give_back(self) -> None:
        """Take the amounts out of each account that holds them."""
        self.whole = False
        while self.added:
            account = self.accounts[self.added - 1]
            account.all_held -= self.amounts
            self.added -= 1

    def settle(self, spent: int, now: float) -> None:
        """Replace the amounts by `spent` in each account that holds them."""
        self.expires = math.inf  # what is half settled does not expire
        while self.added:
            account = self.accounts[self.added - 1]
            if isinstance(account, RollingAccount):
                seen, slices, until = account.after(spent, now)
                # No call from here on: nothing interrupts this account.
                account.seen = seen
                account.all_spent = seen.spent
                account.slices = slices
                account.until = until
            else:
                # No call from here on, as above.
                account.all_spent += spent
            account.all_held -= self.amounts
            self.added -= 1


class Settlement:
    """The cost of a call without a reservation that is being settled, and the number of accounts that have it."""

    __slots__ = ("accounts", "added", "amounts", "now")

    def __init__(self, accounts: list[Account], amounts: Amounts, now: float) -> None:
        self.accounts = accounts
        self.amounts = amounts
        self.now = now
        self.added = 0

    def spend(self) -> None:
        """Spend the amounts in each account where they are not spent yet. No account falls below 0."""
        refund = min(self.amounts.values(), default=0) < 0
        packed = 0 if refund else pack(self.amounts)
        while self.added < len(self.accounts):
            account = self.accounts[self.added]
            if isinstance(account, RollingAccount):
                seen, slices, until = (
                    account.after(packed, self.now) if not refund else account.after_refund(self.amounts, self.now)
                )
                # No call from here on: nothing interrupts this account.
                account.seen = seen
                account.all_spent = seen.spent
                account.slices = slices
                account.until = until
            else:
                spent = account.all_spent + packed if not refund else self._refunded(account.spent)
                # No call from here on, as above.
                account.all_spent = spent
            self.added += 1

    def _refunded(self, spent: dict[Unit, int]) -> int:
        return pack({unit: max(0, amount + self.amounts.get(unit, 0)) for unit, amount in spent.items()})
