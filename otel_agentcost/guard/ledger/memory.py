"""The ledger of one process (`memory://`, the default): dictionaries under one lock.

Memory is bounded: accounts that have ended are dropped a few at a time, as calls come in. A forked child keeps the
spend of its parent, so that it cannot spend it again, and drops the reservations: those calls are its parent's. From
then on both count separately; budgets over several processes need another ledger.

The exception of a signal handler can interrupt a verb, after a function call or at the end of a loop's round. So each
account is changed together with the note of how many are, without a call in between, and the same verb for the same
call then continues where it stopped.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from operator import add

from otel_agentcost.diagnostics import without_password
from otel_agentcost.guard.ledger import (
    GRACE,
    MOST,
    REMEMBER,
    UNITS,
    Amounts,
    Claim,
    LedgerError,
    Refusal,
    Standing,
    Unit,
    checked,
    ends,
    free_again,
    refusal,
    slice_end,
)
from otel_agentcost.guard.ledger._forks import ForkSafe
from otel_agentcost.guard.ledger._memory_batches import MemoryBatches

__all__ = ["MemoryLedger", "open_ledger"]

SETTLED_AT_MOST = 5_000
"""Maximum of settled calls that are remembered. A process repeats a settlement soon, if at all, and data that every
call walks through should fit into the processor's cache."""

PASSING_AT_MOST = 20_000
"""Maximum of traces and runs that are kept, about 20 MB. It matters for those whose end is not seen, because they are
not recorded or belong to another service."""

ENDED_AT_MOST = 1_000
"""Maximum of traces and runs that are kept after their end."""

_NOTHING: dict[Unit, int] = dict.fromkeys(UNITS, 0)


def open_ledger(url: str, *, timeout: float) -> MemoryLedger:
    """Make an empty ledger."""
    del timeout  # there is no server
    if url.partition("://")[2]:
        raise LedgerError(f"The ledger {without_password(url)!r:.120} has a path, but memory:// takes none.")
    return MemoryLedger()


class _Account:
    """The amounts of a key."""

    __slots__ = ("held", "spent", "until")

    def __init__(self) -> None:
        self.spent: dict[Unit, int] = _NOTHING.copy()
        self.held: dict[Unit, int] = _NOTHING.copy()
        self.until = 0.0

    def age(self, now: float) -> None:
        """Drop the spend that is older than the window. Only a rolling window has such spend."""


_NEW = _Account()
"""The amounts of an unknown key. Never changed."""

_Slice = tuple[int, tuple[int, ...]]
"""The end of a slice, and what was spent in it in each unit."""


class _RollingAccount(_Account):
    """The amounts of a key with a rolling window. `spent` is always the sum of its slices.

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
            kept, gone = slices[old:], _sums(slices[:old])
            spent: dict[Unit, int] = {unit: self.spent[unit] - gone[unit] for unit in UNITS}
            # No call from here on: nothing interrupts it.
            self.spent = spent
            self.slices = kept

    def after(self, amounts: tuple[int, ...], now: float) -> tuple[dict[Unit, int], tuple[_Slice, ...], float]:
        """Return spend, slices and end of the account after more was spent. It is not changed, but for old slices."""
        self.age(now)
        slices = list(self.slices)
        end = slice_end(self.window, now)
        if not slices or slices[-1][0] < end:
            slices.append((end, (0,) * len(UNITS)))
        end, newest = slices[-1]  # where a clock has gone back, it is a later one
        until = max(self.until, float(end + self.window))
        if min(amounts) >= 0:
            slices[-1] = end, tuple(map(add, newest, amounts))
            spent = dict(zip(UNITS, map(add, self.spent.values(), amounts), strict=True))
            return spent, tuple(slices), until
        slices[-1] = end, tuple(map(add, newest, (max(0, amount) for amount in amounts)))
        taken = [max(0, -amount) for amount in amounts]
        kept = tuple((ends, _without(taken, each)) for ends, each in slices)
        return _sums(kept), kept, until

    def free_again(self, refused: Refusal) -> float | None:
        """Return when there is room for a refused call, if nothing more is spent."""
        at = UNITS.index(refused.unit)
        return free_again(refused, self.window, ((end, amounts[at]) for end, amounts in self.slices))


def _sums(slices: tuple[_Slice, ...]) -> dict[Unit, int]:
    return {unit: sum(amounts[at] for _, amounts in slices) for at, unit in enumerate(UNITS)}


def _without(taken: list[int], amounts: tuple[int, ...]) -> tuple[int, ...]:
    """Return amounts without what is to be taken, as far as there is so much. `taken` has the rest afterwards."""
    left = tuple(max(0, amount - take) for amount, take in zip(amounts, taken, strict=True))
    taken[:] = [max(0, take - amount) for amount, take in zip(amounts, taken, strict=True)]
    return left


class _Amounts:
    """Amounts of one call that are added to several accounts, and the number of accounts that have them."""

    __slots__ = ("accounts", "added", "amounts")

    def __init__(self, accounts: list[_Account], amounts: Amounts) -> None:
        self.accounts = accounts
        get = amounts.get
        self.amounts = (get("nano_usd", 0), get("tokens", 0), get("calls", 0), get("tool_calls", 0))
        self.added = 0


class _Hold(_Amounts):
    """The reservation of an in-flight call."""

    __slots__ = ("claims", "expires")

    def __init__(self, claims: tuple[Claim, ...], accounts: list[_Account], amounts: Amounts, expires: float) -> None:
        super().__init__(accounts, amounts)
        self.claims = claims
        self.expires = expires

    def take(self) -> None:
        """Hold the amounts in each account that does not hold them yet."""
        nano, tokens, calls, tool_calls = self.amounts
        while self.added < len(self.accounts):
            held = self.accounts[self.added].held
            # No call from here on: nothing interrupts this account.
            held["nano_usd"] += nano
            held["tokens"] += tokens
            held["calls"] += calls
            held["tool_calls"] += tool_calls
            self.added += 1

    def give_back(self) -> None:
        """Take the amounts out of each account that holds them."""
        nano, tokens, calls, tool_calls = self.amounts
        while self.added:
            held = self.accounts[self.added - 1].held
            held["nano_usd"] -= nano
            held["tokens"] -= tokens
            held["calls"] -= calls
            held["tool_calls"] -= tool_calls
            self.added -= 1


class _Settlement(_Amounts):
    """The cost of a call that is being settled."""

    __slots__ = ("now",)

    def __init__(self, accounts: list[_Account], amounts: Amounts, now: float) -> None:
        super().__init__(accounts, amounts)
        self.now = now

    def spend(self) -> None:
        """Spend the amounts in each account where they are not spent yet. No account falls below 0."""
        nano, tokens, calls, tool_calls = self.amounts
        while self.added < len(self.accounts):
            account = self.accounts[self.added]
            if isinstance(account, _RollingAccount):
                spent, slices, until = account.after(self.amounts, self.now)
                # No call from here on: nothing interrupts this account.
                account.spent = spent
                account.slices = slices
                account.until = until
            else:
                spent = account.spent
                # No call from here on, as above.
                spent["nano_usd"] = after if (after := spent["nano_usd"] + nano) > 0 else 0
                spent["tokens"] = after if (after := spent["tokens"] + tokens) > 0 else 0
                spent["calls"] = after if (after := spent["calls"] + calls) > 0 else 0
                spent["tool_calls"] = after if (after := spent["tool_calls"] + tool_calls) > 0 else 0
            self.added += 1


class MemoryLedger(ForkSafe, MemoryBatches):
    """Implements `Ledger` and `BatchVerbs`."""

    shared = False
    blocking = False
    has_timeout = False
    rolling = True

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._holds: dict[str, _Hold] = {}
        self._expiries: list[tuple[float, str]] = []
        """A heap of the times at which reservations expire. Entries of reservations that are gone are ignored."""
        self._unswept = 0
        """Accounts to check: two of the oldest for each new one, so that ended ones never outnumber the others."""
        self._settling: dict[str, _Settlement] = {}
        """Settlements in progress."""
        self._settled: OrderedDict[str, float] = OrderedDict()
        self._passing: OrderedDict[str, None] = OrderedDict()
        """Keys of traces and runs, the least recently used first."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        """Keys of those that have ended, the first one first."""
        self._without_batches()
        super().__init__()

    def reserve(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float, lease: float
    ) -> Refusal | None:
        """See `Ledger`."""
        checked(amounts)
        with self._lock:
            self._expire(now)
            if call_id in self._holds or self._settled.get(call_id, now) > now:
                return None
            if (found := self._refusal(claims, amounts, now)) is not None:
                return found
            expires = now + lease
            accounts = self._open(claims, now, expires)
            heapq.heappush(self._expiries, (expires, call_id))
            hold = self._holds[call_id] = _Hold(tuple(claims), accounts, amounts, expires)
            hold.take()
            return None

    def settle(
        self, call_id: str, claims: Sequence[Claim], amounts: Amounts, *, now: float
    ) -> Sequence[tuple[Claim, Standing]]:
        """See `Ledger`."""
        checked(amounts, -MOST)
        with self._lock:
            self._expire(now)
            if self._settled.get(call_id, now) <= now:
                settlement = self._settling.get(call_id)
                if settlement is None:
                    hold = self._drop(call_id)
                    # Nearly always the claims are those of the hold, and while there is one its accounts are there.
                    accounts = hold.accounts if hold and hold.claims == tuple(claims) else self._open(claims, now, 0.0)
                    settlement = self._settling[call_id] = _Settlement(accounts, amounts, now)
                settlement.spend()
                self._remember(call_id, now)
            self._settling.pop(call_id, None)
            return [(claim, self._standing(claim.key, now)) for claim in claims]

    def release(self, call_id: str, *, now: float) -> None:
        """See `Ledger`."""
        with self._lock:
            self._expire(now)
            self._drop(call_id)

    def standing(self, key: str, *, now: float) -> Standing:
        """See `Ledger`."""
        with self._lock:
            self._expire(now)
            self._forget_if_ended(key, now)
            return self._standing(key, now)

    def keys(self, *, now: float) -> Sequence[str]:
        """See `Ledger`."""
        with self._lock:
            return sorted(key for key, account in self._accounts.items() if account.until + GRACE > now)

    def ended(self, key: str) -> None:
        """See `Ledger`. Tasks that outlive the trace may still spend in it, so its account is kept for a while."""
        with self._lock:
            if key in self._passing:
                del self._passing[key]
                self._ended[key] = None
                if len(self._ended) > ENDED_AT_MOST:
                    self._forget_one_of(self._ended)

    def caution(self) -> str | None:
        """See `Ledger`."""
        return None

    def close(self) -> None:
        """See `Ledger`. There is nothing to close."""

    def after_fork(self) -> None:
        """Drop the reservations of the parent's calls, and its batches."""
        for call_id in list(self._holds):
            self._drop(call_id)
        self._expiries.clear()
        self._without_batches()

    # --- under the lock ---

    def _refusal(self, claims: Sequence[Claim], amounts: Amounts, now: float) -> Refusal | None:
        first = None
        for claim in claims:
            account = self._accounts.get(claim.key)
            if account is None or account.until + GRACE <= now:
                account = _NEW
            elif claim.rolling is not None:
                account.age(now)
            spent, held = account.spent, account.held
            for unit, limit in claim.limits.items():
                if spent[unit] + held[unit] + amounts.get(unit, 0) > limit:
                    if first is None or first.only_held:
                        first = refusal(claim, spent, held, amounts)
                    break
        if first is not None and isinstance(account := self._accounts.get(first.key), _RollingAccount):
            return replace(first, free_at=account.free_again(first))
        return first

    def _spending(self, claims: Sequence[Claim], amounts: Amounts, now: float) -> _Settlement:
        return _Settlement(self._open(claims, now, 0.0), amounts, now)

    def _standing(self, key: str, now: float) -> Standing:
        account = self._accounts.get(key) or _NEW
        account.age(now)
        return Standing(account.spent.copy(), account.held.copy())

    def _open(self, claims: Sequence[Claim], now: float, until: float) -> list[_Account]:
        """Return the accounts of `claims`, created if missing, each once: two rules can have limits on one key."""
        opened: list[_Account] = []
        for claim in claims:
            account = self._accounts.get(claim.key)
            if account is None or (account.until + GRACE <= now and account not in opened):
                account = _Account() if claim.rolling is None else _RollingAccount(claim.rolling)
                self._accounts[claim.key] = account
                self._unswept += 2
            account.until = max(account.until, ends(claim), until)
            if account not in opened:
                opened.append(account)
            if claim.passing:
                self._passing[claim.key] = None
                self._passing.move_to_end(claim.key)
                self._ended.pop(claim.key, None)
        if len(self._passing) > PASSING_AT_MOST:
            self._forget_one_of(self._passing)
        return opened

    def _forget_one_of(self, keys: OrderedDict[str, None]) -> None:
        for _ in range(3):
            key, _ = keys.popitem(last=False)
            account = self._accounts.get(key)
            if account is None or not any(account.held.values()):
                self._accounts.pop(key, None)
                return
            self._passing[key] = None  # in use after all

    def _forget_if_ended(self, key: str, now: float) -> bool:
        account = self._accounts.get(key)
        if account is None or account.until + GRACE > now:
            return False
        del self._accounts[key]
        self._passing.pop(key, None)
        self._ended.pop(key, None)
        return True

    def _expire(self, now: float) -> None:
        """Drop the reservations whose lease has expired, and a few accounts that have ended."""
        expiries = self._expiries
        while expiries and expiries[0][0] <= now:
            call_id = expiries[0][1]
            hold = self._holds.get(call_id)
            if hold is not None and hold.expires <= now:
                self._drop(call_id)
            heapq.heappop(expiries)
        if len(expiries) > 64 + 2 * len(self._holds):
            self._expiries = [(hold.expires, call_id) for call_id, hold in self._holds.items()]
            heapq.heapify(self._expiries)
        while self._unswept:
            self._unswept -= 1
            oldest = next(iter(self._accounts), None)
            if oldest is not None and not self._forget_if_ended(oldest, now):
                self._accounts.move_to_end(oldest)

    def _drop(self, call_id: str) -> _Hold | None:
        hold = self._holds.get(call_id)
        if hold is not None:
            hold.give_back()
            self._holds.pop(call_id, None)
        return hold

    def _remember(self, call_id: str, now: float) -> None:
        settled = self._settled
        settled[call_id] = now + REMEMBER
        settled.move_to_end(call_id)
        oldest = next(iter(settled))
        while len(settled) > SETTLED_AT_MOST or settled[oldest] <= now:
            del settled[oldest]
            oldest = next(iter(settled))
