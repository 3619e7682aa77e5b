"""The accounts of the ledger of one process, and the amounts of calls that are held and spent in them.

An account has its amounts of all units in one integer, each unit in its own bits: one addition changes them all. Each
account is changed without a call in between, together with the note of how many are (see `memory`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from otel_agentcost.guard.ledger import UNITS, Amounts, Claim, Refusal, Unit, free_again, refusal, slice_end

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

    def refusal(self, claim: Claim, amounts: Amounts) -> Refusal | None:
        """Return why a claim on this account has no room for `amounts`; None if it has."""
        return refusal(claim, self.spent, self.held, amounts)


NEW = Account()
"""The amounts of an unknown key. Never changed."""

_Slice = tuple[int, int]
"""The end of a slice, and what was spent in it, packed."""


class RollingAccount(Account):
    """The amounts of a key with a rolling window. `all_spent` is always the sum of its slices.

    Spend and slices are never changed but replaced, both without a call in between.
    """

    __slots__ = ("slices", "window")

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.slices: tuple[_Slice, ...] = ()
        """The oldest first."""

    def age(self, now: float) -> None:
        """Drop the slices that are older than the window."""
        slices = self.slices
        if slices and slices[0][0] + self.window <= now:
            old = 1
            while old < len(slices) and slices[old][0] + self.window <= now:
                old += 1
            kept, left = slices[old:], self.all_spent - _sum(slices[:old])
            # No call from here on: nothing interrupts it.
            self.all_spent = left
            self.slices = kept

    def after(self, amounts: int, now: float) -> tuple[int, tuple[_Slice, ...], float]:
        """Return spend, slices and end of the account after more was spent. It is not changed, but for old slices."""
        self.age(now)
        slices, end, newest = self.slices, slice_end(self.window, now), 0
        if slices and slices[-1][0] >= end:  # where a clock has gone back, it is a later one
            end, newest = slices[-1]
            slices = slices[:-1]
        return self.all_spent + amounts, (*slices, (end, newest + amounts)), max(self.until, float(end + self.window))

    def after_refund(self, amounts: Amounts, now: float) -> tuple[int, tuple[_Slice, ...], float]:
        """Return the same after amounts of which some are negative: those are taken from the oldest slices."""
        _, slices, until = self.after(pack({unit: max(0, amount) for unit, amount in amounts.items()}), now)
        left: dict[Unit, int] = {unit: max(0, -amounts.get(unit, 0)) for unit in UNITS}
        kept: list[_Slice] = []
        for end, spent in slices:
            taken: dict[Unit, int] = {unit: min(left[unit], amount) for unit, amount in unpack(spent).items()}
            left = {unit: left[unit] - taken[unit] for unit in UNITS}
            kept.append((end, spent - pack(taken)))
        return _sum(kept), tuple(kept), until

    def refusal(self, claim: Claim, amounts: Amounts) -> Refusal | None:
        """Return the refusal with the time at which there is room, if nothing more is spent."""
        refused = super().refusal(claim, amounts)
        if refused is None:
            return None
        slices = ((end, unpack(spent)[refused.unit]) for end, spent in self.slices)
        return replace(refused, free_at=free_again(refused, self.window, slices))


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
                total, slices, until = account.after(spent, now)
                # No call from here on: nothing interrupts this account.
                account.all_spent = total
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
                spent, slices, until = (
                    account.after(packed, self.now) if not refund else account.after_refund(self.amounts, self.now)
                )
                # No call from here on: nothing interrupts this account.
                account.all_spent = spent
                account.slices = slices
                account.until = until
            else:
                spent = account.all_spent + packed if not refund else self._refunded(account.spent)
                # No call from here on, as above.
                account.all_spent = spent
            self.added += 1

    def _refunded(self, spent: dict[Unit, int]) -> int:
        return pack({unit: max(0, amount + self.amounts.get(unit, 0)) for unit, amount in spent.items()})
